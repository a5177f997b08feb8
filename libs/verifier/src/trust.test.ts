import {
  CAS_KEY,
  caIdOf,
  DEFAULT_SETTINGS,
  disableCa,
  disableCertificate,
  disabledKeyOf,
  enableCertificate,
  fingerprintsOf,
  heldIn,
  issuerKeyOf,
  markKeyOf,
  NOTHING_TRUSTED,
  type Proof,
  shownMarks,
} from '@latchkey/credential';
import { type DeviceId, systemClock, systemRandom } from '@latchkey/kernel';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Verifier } from './authenticate.ts';
import type { Session } from './sessions.ts';
import { CA, LEAF_ONE, SELF_SIGNED } from './test-certificates.ts';
import { armedDevice, newDevice, newId, plain, secretDevice } from './test-devices.ts';
import { entrust, type HeldStore, holdStore, operate, trustCa } from './test-store.ts';
import { NoDecision } from './waiting.ts';

const DEVICE = 'pump_7' as DeviceId;
const CA_ID = caIdOf(CA);
const LEAF = fingerprintsOf(LEAF_ONE);
const OWN = fingerprintsOf(SELF_SIGNED);

let held: HeldStore;
let verifier: Verifier;

beforeEach(async () => {
  held = await holdStore();
  verifier = verifierOver(held, false);
});
afterEach(async () => {
  await verifier.close();
  await held.dispose();
});

function verifierOver({ store }: HeldStore, requireTrustedCa: boolean): Verifier {
  const settings = { ...DEFAULT_SETTINGS, requireTrustedCa };
  return new Verifier({ store, clock: systemClock, random: systemRandom, settings, maxRecords: 1_000 });
}

const chain = (...ders: Uint8Array[]): Proof => ({ kind: 'CERTIFICATE', chain: ders });
const bare = (fingerprint: string): Proof => ({ kind: 'FINGERPRINT', fingerprint });
const ask = async (proof: Proof) =>
  (await verifier.authenticate({ deviceId: DEVICE, protocol: 'MQTT', proof })).decision;
const arm = () => operate(held.inner, DEVICE, () => armedDevice(DEVICE));
/** A device that has this fingerprint, activated and used. */
const pin = async (fingerprint: string, proof: Proof, requireTrustedCa = false) => {
  const primary = { credentialId: newId(), fingerprint };
  await operate(held.inner, DEVICE, () => newDevice(DEVICE, { kind: 'CERTIFICATE', requireTrustedCa, primary }));
  await ask(proof);
};
const disable = (fingerprint: string) =>
  entrust(held.inner, disabledKeyOf(fingerprint), (set) =>
    disableCertificate(set, { fingerprint, disabledAtMs: 1, note: '' }),
  );
const enable = (fingerprint: string) =>
  entrust(held.inner, disabledKeyOf(fingerprint), (set) => enableCertificate(set, fingerprint));
/** The mark that a CRL would name the leaf by, and the CRL. */
const REVOKED = shownMarks(chain(LEAF_ONE)).find((mark) => mark.startsWith('i')) ?? '';
const ISSUER = REVOKED.slice(1, 33);
const revoke = () => {
  const crl = { caId: CA_ID, issuer: ISSUER, number: 1n, thisUpdateMs: 1, nextUpdateMs: 2, revoked: [REVOKED] };
  return entrust(held.inner, issuerKeyOf(ISSUER), (set) => ({ ...set, crls: [crl] }));
};
const unrevoke = () => entrust(held.inner, issuerKeyOf(ISSUER), () => NOTHING_TRUSTED);
const distrust = () => entrust(held.inner, CAS_KEY, (set) => disableCa(set, CA_ID));
const settle = () => new Promise((resolve) => setImmediate(resolve));
const DISABLED = { granted: false, reason: 'CERTIFICATE_DISABLED' };
const UNTRUSTED = { granted: false, reason: 'CERTIFICATE_UNTRUSTED' };

test('what is trusted is read once, and then certificates are decided on from memory, at once', async () => {
  await pin(OWN.sha256, chain(SELF_SIGNED));
  const reads = [held.readCount(), held.trustReadCount()];
  const answer = verifier.authenticate({ deviceId: DEVICE, protocol: 'MQTT', proof: chain(SELF_SIGNED) });
  expect(answer).not.toBeInstanceOf(Promise);
  expect([held.readCount(), held.trustReadCount()]).toEqual(reads);
});

test.each([OWN.sha1, OWN.sha256])(
  'a certificate that is disabled as %s is refused, whatever shows it',
  async (form) => {
    await pin(OWN.sha256, chain(SELF_SIGNED));
    expect(await ask(chain(SELF_SIGNED))).toMatchObject({ granted: true });
    await disable(form);
    expect(await ask(chain(SELF_SIGNED))).toEqual(DISABLED);
    expect(await ask(chain(LEAF_ONE, SELF_SIGNED))).toEqual(DISABLED);
    expect(await ask(bare(form))).toEqual(DISABLED);
    await enable(form);
    expect(await ask(chain(SELF_SIGNED))).toMatchObject({ granted: true });
  },
);

test('of a bare fingerprint only its own form is known', async () => {
  await pin(OWN.sha256, bare(OWN.sha256));
  await disable(OWN.sha1);
  expect(await ask(bare(OWN.sha256))).toMatchObject({ granted: true });
  await disable(OWN.sha256);
  expect(await ask(bare(OWN.sha256.toUpperCase()))).toEqual(DISABLED);
});

test('what a CRL revokes is refused and its sessions fall, also of the time before; a bare fingerprint tells nothing', async () => {
  await pin(LEAF.sha256, chain(LEAF_ONE));
  const session = await sessionBy(chain(LEAF_ONE));
  await revoke();
  expect(await ask(chain(LEAF_ONE))).toEqual(DISABLED);
  expect(await ask(chain(SELF_SIGNED, LEAF_ONE))).toEqual(DISABLED);
  expect(await ask(bare(LEAF.sha256))).toMatchObject({ granted: true });
  expect(await verifier.checkSessions([session, forgetful(session)])).toEqual([false, true]);
  await unrevoke();
  expect(await ask(chain(LEAF_ONE))).toMatchObject({ granted: true });
});

test('a certificate is bound by a trusted CA, and is refused once that is disabled', async () => {
  await arm();
  expect(await ask(chain(LEAF_ONE))).toEqual(UNTRUSTED);
  await trustCa(held.inner, CA);
  expect(await ask(chain(LEAF_ONE))).toMatchObject({ granted: true, activatedNow: true, basis: { caIds: [CA_ID] } });
  const record = await held.inner.read(DEVICE);
  expect(record && heldIn(record, 'PRIMARY')).toMatchObject({ fingerprint: LEAF.sha256, boundBy: CA_ID });
  await distrust();
  expect(await ask(chain(LEAF_ONE))).toEqual(UNTRUSTED);
  expect(await ask(bare(LEAF.sha256))).toEqual(UNTRUSTED);
});

test('where a trusted CA is demanded, disabling it refuses what chains to it', async () => {
  await trustCa(held.inner, CA);
  await pin(LEAF.sha256, chain(LEAF_ONE), true);
  expect(await ask(chain(LEAF_ONE))).toMatchObject({ granted: true, basis: { caIds: [CA_ID] } });
  await distrust();
  expect(await ask(chain(LEAF_ONE))).toEqual(UNTRUSTED);
});

test('a disabling between the read of what is trusted and its end is neither missed nor forgotten', async () => {
  await pin(OWN.sha256, chain(SELF_SIGNED));
  held.lose();
  held.trustReads.shut();
  const question = ask(chain(SELF_SIGNED));
  const sets = new Set(shownMarks(chain(SELF_SIGNED)).map(markKeyOf));
  await expect.poll(() => held.trustReads.waiting).toBe(1 + sets.size);
  await disable(OWN.sha1);
  held.trustReads.open();
  expect(await question).toEqual(DISABLED);
  expect(await ask(chain(SELF_SIGNED))).toEqual(DISABLED);
});

test('a CA that is disabled while its binding is written: the device is not let in', async () => {
  await trustCa(held.inner, CA);
  await arm();
  held.writes.shut();
  const question = ask(chain(LEAF_ONE));
  await expect.poll(() => held.writes.waiting).toBe(1);
  await distrust();
  held.writes.open();
  expect(await question).toEqual(UNTRUSTED);
  expect(held.sent.map(({ kind }) => kind)).toEqual(['BOUND']);
});

test('without the lease on what is trusted no certificate is decided on, and secrets are', async () => {
  await pin(OWN.sha256, chain(SELF_SIGNED));
  const other = 'pump_8' as DeviceId;
  await operate(held.inner, other, () => secretDevice(other, 'secret-of-8'));
  held.leaseless.add(CAS_KEY);
  await expect(ask(chain(SELF_SIGNED))).rejects.toThrow(NoDecision);
  await expect(ask(bare(OWN.sha256))).rejects.toThrow(NoDecision);
  const secret = verifier.authenticate({ deviceId: other, protocol: 'MQTT', proof: plain('secret-of-8') });
  expect((await secret).decision).toMatchObject({ granted: true });
});

test('after lost changes what is trusted is read anew', async () => {
  await pin(OWN.sha256, chain(SELF_SIGNED));
  held.deaf = true;
  await disable(OWN.sha256);
  held.lose();
  expect(await ask(chain(SELF_SIGNED))).toEqual(DISABLED);
});

test('a trial sees what is trusted now, and binds nothing', async () => {
  await arm();
  const trial = () => verifier.tryProof({ deviceId: DEVICE, protocol: 'MQTT', proof: chain(LEAF_ONE) });
  held.deaf = true;
  expect(await trial()).toMatchObject({ decision: UNTRUSTED, wouldBind: false });
  await trustCa(held.inner, CA);
  expect(await trial()).toMatchObject({ decision: { granted: true }, wouldBind: true, wouldActivate: true });
  await disable(LEAF.sha1);
  expect(await trial()).toMatchObject({ decision: DISABLED, wouldBind: false });
  expect(held.sent).toEqual([]);
});

/** A session that was opened just now. */
async function sessionBy(proof: Proof): Promise<Session> {
  const decision = await ask(proof);
  if (!decision.granted) throw new Error(decision.reason);
  const { credentialId, revision, basis } = decision;
  return { deviceId: DEVICE, credentialId, revision, basis };
}
const forgetful = (session: Session): Session => ({ ...session, basis: undefined });

test('sessions fall with the certificate that they were opened with', async () => {
  await pin(OWN.sha1, chain(SELF_SIGNED));
  const session = await sessionBy(chain(SELF_SIGNED));
  expect(await verifier.checkSessions([session, forgetful(session)])).toEqual([true, true]);
  await disable(OWN.sha256);
  expect(await verifier.checkSessions([session, forgetful(session)])).toEqual([false, true]);
  await disable(OWN.sha1);
  expect(await verifier.checkSessions([session, forgetful(session)])).toEqual([false, false]);
});

test('sessions fall with the CA that they needed, whether it bound the certificate or was demanded', async () => {
  await trustCa(held.inner, CA);
  await arm();
  const bound = await sessionBy(chain(LEAF_ONE));
  expect(await verifier.checkSessions([bound, forgetful(bound)])).toEqual([true, true]);
  await distrust();
  expect(await verifier.checkSessions([bound, forgetful(bound)])).toEqual([false, false]);
});

test('a check that knows of a later change than this replica reads what is trusted anew', async () => {
  await pin(OWN.sha256, chain(SELF_SIGNED));
  const session = await sessionBy(chain(SELF_SIGNED));
  held.deaf = true;
  await disable(OWN.sha256);
  const position = (await held.inner.readTrust(disabledKeyOf(OWN.sha256)))?.revision;
  expect(await verifier.checkSessions([session])).toEqual([true]);
  expect(await verifier.checkSessions([session], position)).toEqual([false]);
});

test('where a trusted CA is demanded, a session whose basis is not known falls', async () => {
  await trustCa(held.inner, CA);
  await pin(LEAF.sha256, chain(LEAF_ONE));
  const free = await sessionBy(chain(LEAF_ONE));
  await verifier.close();
  verifier = verifierOver(held, true);
  const demanding = await sessionBy(chain(LEAF_ONE));
  expect(await verifier.checkSessions([free, forgetful(demanding), demanding])).toEqual([false, false, true]);
});

const STEPS = [
  'ask',
  'ask',
  'ask',
  'disable',
  'enable',
  'distrust',
  'trust',
  'revoke',
  'unrevoke',
  'read',
  'read',
  'trustRead',
  'lose',
] as const;

test('a certificate that was shut out before the question began is never let in', async () => {
  await pin(LEAF.sha256, chain(LEAF_ONE), true);
  const steps = fc.array(fc.constantFrom(...STEPS), { minLength: 5, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(steps, async (plan) => {
      await entrust(held.inner, CAS_KEY, () => NOTHING_TRUSTED);
      await entrust(held.inner, disabledKeyOf(LEAF.sha1), () => NOTHING_TRUSTED);
      await unrevoke();
      let [trusted, disabled, revoked] = [false, false, false];
      const asked: { mayBe: boolean; readonly done: Promise<boolean> }[] = [];
      const mayEnter = () => trusted && !disabled && !revoked;
      type Standing = { trusted?: boolean; disabled?: boolean; revoked?: boolean };
      const turn = async (next: Standing, write: () => Promise<void>) => {
        const will = { trusted, disabled, revoked, ...next };
        // Until the write has answered, both what was and what will be may count.
        if (will.trusted && !will.disabled && !will.revoked) for (const question of asked) question.mayBe = true;
        await write();
        ({ trusted, disabled, revoked } = will);
      };
      for (const gate of [held.reads, held.trustReads]) gate.shut();
      for (const step of plan) {
        const done = () =>
          ask(chain(LEAF_ONE)).then(
            ({ granted }) => granted,
            () => false,
          );
        if (step === 'ask') asked.push({ mayBe: mayEnter(), done: done() });
        if (step === 'disable' && !disabled) await turn({ disabled: true }, () => disable(LEAF.sha1));
        if (step === 'enable' && disabled) await turn({ disabled: false }, () => enable(LEAF.sha1));
        if (step === 'distrust' && trusted) await turn({ trusted: false }, distrust);
        if (step === 'trust' && !trusted) await turn({ trusted: true }, () => retrust());
        if (step === 'revoke' && !revoked) await turn({ revoked: true }, revoke);
        if (step === 'unrevoke' && revoked) await turn({ revoked: false }, unrevoke);
        if (step === 'read') held.reads.release();
        if (step === 'trustRead') held.trustReads.release();
        if (step === 'lose') held.lose();
        await settle();
      }
      for (const gate of [held.reads, held.trustReads]) gate.open();
      for (const { mayBe, done } of asked) expect([mayBe, false]).toContain(await done);
      expect((await ask(chain(LEAF_ONE))).granted).toBe(mayEnter());
    }),
    { numRuns: 100 },
  );
});

async function retrust(): Promise<void> {
  await entrust(held.inner, CAS_KEY, () => NOTHING_TRUSTED);
  await trustCa(held.inner, CA);
}
