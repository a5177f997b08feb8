import { createSecretKey } from 'node:crypto';
import {
  DEFAULT_SETTINGS,
  type DeviceState,
  freeze,
  type Proof,
  promoteSecondary,
  type Refusal,
  resetSecret,
  retire,
  retireLater,
  type Slot,
  TOKEN_LIFE_MS,
  type TokenKeys,
  unfreeze,
} from '@latchkey/credential';
import { type Clock, type DeviceId, NO_REVISION, Secret, systemClock, systemRandom } from '@latchkey/kernel';
import type { SessionEffect } from '@latchkey/store';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Verifier } from './authenticate.ts';
import { newId, plain, secretDevice } from './test-devices.ts';
import { type HeldStore, holdStore, operate } from './test-store.ts';
import { mintToken } from './tokens.ts';
import { NoDecision } from './waiting.ts';

const DEVICE = 'pump_7' as DeviceId;
const ONE = 'secret-number-1';
const TWO = 'secret-number-2';
const KEYS: TokenKeys = {
  current: '00000001',
  byReference: new Map([['00000001', createSecretKey(Buffer.alloc(32, 1))]]),
};

let held: HeldStore;
let verifier: Verifier;
let clock: Clock & { aheadMs: number };

beforeEach(async () => {
  held = await holdStore();
  clock = { aheadMs: 0, now: () => systemClock.now() + clock.aheadMs, monotonic: systemClock.monotonic };
  verifier = new Verifier({
    ...{ store: held.store, clock, random: systemRandom, settings: DEFAULT_SETTINGS },
    ...{ maxRecords: 1_000, tokenKeys: () => KEYS },
  });
});
afterEach(async () => {
  await verifier.close();
  await held.dispose();
});

const ask = async (proof: Proof) =>
  (await verifier.authenticate({ deviceId: DEVICE, protocol: 'HTTPS', proof })).decision;
const mint = async (secret: string) => {
  const question = { deviceId: DEVICE, protocol: 'HTTPS' as const, proof: plain(secret) };
  return mintToken(question, { verifier, keys: () => KEYS, clock });
};
const minted = async (secret: string): Promise<Proof> => {
  const { token } = await mint(secret);
  if (token === undefined) throw new Error('it was denied');
  return { kind: 'TOKEN', token };
};
type Step = (device: DeviceState) => DeviceState | Refusal | undefined;
/** Writes as an operator's request does, with what it says of sessions. */
async function change(step: Step, close: SessionEffect = { close: 'NONE' }): Promise<void> {
  const record = await held.inner.read(DEVICE);
  const state = record === undefined ? secretDevice(DEVICE, ONE) : step(record);
  if (state !== undefined && 'refused' in state) throw new Error(`refused: ${state.refused}`);
  const write = { deviceId: DEVICE, expectedRevision: record?.revision ?? NO_REVISION, state, effect: close };
  const result = await held.inner.write({ ...write, kind: 'UPDATED', replay: undefined });
  expect(result.outcome).toBe('WRITTEN');
}
const resetTo =
  (secret: string, slot: Slot): Step =>
  (device) =>
    resetSecret(device, slot, { credentialId: newId(), secret: new Secret(secret), nowMs: 1 });
const register = () => operate(held.inner, DEVICE, () => secretDevice(DEVICE, ONE));
const REVOKED = { granted: false, reason: 'TOKEN_REVOKED' };

test('a token lets its device in from memory, until its day has passed', async () => {
  await register();
  const { answer, token } = await mint(ONE);
  const expiresAtMs = answer.decision.granted ? (answer.decision.expiresAtMs ?? 0) : 0;
  expect(expiresAtMs - clock.now()).toBeGreaterThan(TOKEN_LIFE_MS - 60_000);
  const proof = { kind: 'TOKEN' as const, token: token ?? new Secret('') };
  expect(await ask(proof)).toMatchObject({ granted: true, slot: 'PRIMARY', expiresAtMs });
  expect(held.readCount()).toBe(1);
  clock.aheadMs = TOKEN_LIFE_MS + 1;
  expect(await ask(proof)).toEqual({ granted: false, reason: 'TOKEN_EXPIRED' });
});

test('a denied proof mints nothing, and without a lease nobody is granted on a token', async () => {
  await register();
  expect(await mint(TWO)).toMatchObject({ answer: { decision: { reason: 'SECRET_MISMATCH' } }, token: undefined });
  const proof = await minted(ONE);
  held.lease = [false];
  await expect(ask(proof)).rejects.toThrow(NoDecision);
});

test('a token ends with its credential and with the sessions, and with nothing else', async () => {
  const kept: [Step, SessionEffect?][] = [
    [resetTo(TWO, 'SECONDARY')],
    [(device) => promoteSecondary(device)],
    [(device) => ({ ...device, activationTimeoutS: 5 })],
    [(device) => retireLater(device, 'SECONDARY', { atMs: clock.now() + 60_000 })],
  ];
  const killed: [Step, SessionEffect?][] = [
    [resetTo(TWO, 'PRIMARY')],
    [resetTo(TWO, 'SECONDARY'), { close: 'DEVICE' }],
    [(device) => retire(device, 'PRIMARY')],
    [() => undefined, { close: 'DEVICE' }],
  ];
  for (const [step, effect] of killed) {
    await change(() => undefined);
    await register();
    const proof = await minted(ONE);
    expect(await ask(proof)).toMatchObject({ granted: true });
    await change(step, effect);
    expect(await ask(proof)).toMatchObject({ granted: false });
  }
  await change(() => undefined);
  await register();
  const proof = await minted(ONE);
  for (const [step, effect] of kept) {
    await change(step, effect);
    expect(await ask(proof)).toMatchObject({ granted: true });
  }
});

test('a token of before a freeze or a deletion is no good after it either', async () => {
  await register();
  const proof = await minted(ONE);
  await change(freeze, { close: 'DEVICE' });
  expect(await ask(proof)).toEqual({ granted: false, reason: 'FROZEN' });
  await change(unfreeze);
  expect(await ask(proof)).toEqual(REVOKED);
  expect(await ask(await minted(ONE))).toMatchObject({ granted: true });
  await change(() => undefined, { close: 'DEVICE' });
  expect(await ask(proof)).toEqual({ granted: false, reason: 'UNKNOWN_DEVICE' });
  await register();
  expect(await ask(proof)).toEqual(REVOKED);
});

test('a reset while a token is looked up: it is not granted', async () => {
  await register();
  const proof = await minted(ONE);
  held.lose(); // what was in memory is read again
  held.reads.shut();
  const question = ask(proof);
  await new Promise((resolve) => setImmediate(resolve));
  await change(resetTo(TWO, 'PRIMARY'));
  held.reads.open();
  expect(await question).toEqual(REVOKED);
});

test('a token ends with the retirement of its credential, and its use is a use of the credential', async () => {
  await register();
  await change((device) => retireLater(device, 'PRIMARY', { atMs: clock.now() + 180_000 }));
  const { answer, token } = await mint(ONE);
  const expiresAtMs = answer.decision.granted ? (answer.decision.expiresAtMs ?? 0) : 0;
  expect(expiresAtMs - clock.now()).toBeLessThanOrEqual(180_000);
  await verifier.tellUses();
  clock.aheadMs = 120_000;
  expect(await ask({ kind: 'TOKEN', token: token ?? new Secret('') })).toMatchObject({ granted: true });
  expect(verifier.untold).toBe(1);
  clock.aheadMs = 180_000;
  expect(await ask({ kind: 'TOKEN', token: token ?? new Secret('') })).toEqual({
    granted: false,
    reason: 'TOKEN_EXPIRED',
  });
});

test('whatever happens to a device, a token is granted only while credential and sessions are those of its minting', async () => {
  const plans = fc.array(fc.constantFrom('mint', 'mint', 'reset', 'force', 'freeze', 'unfreeze', 'delete', 'ask'), {
    maxLength: 25,
  });
  await fc.assert(
    fc.asyncProperty(plans, async (plan) => {
      await change(() => undefined);
      await register();
      let [frozen, secret, number] = [false, ONE, 0];
      let [good, dead]: [Proof[], Proof[]] = [[], []];
      const kill = () => {
        dead = [...dead, ...good];
        good = [];
      };
      for (const step of plan) {
        if (step === 'mint' && !frozen) good.push(await minted(secret));
        if (step === 'reset' || step === 'force') {
          kill();
          number += 1;
          secret = `another-secret-${number}`;
          await change(resetTo(secret, 'PRIMARY'), step === 'force' ? { close: 'DEVICE' } : { close: 'NONE' });
        }
        if (step === 'freeze' && !frozen) {
          kill();
          frozen = true;
          await change(freeze, { close: 'DEVICE' });
        }
        if (step === 'unfreeze' && frozen) {
          frozen = false;
          await change(unfreeze);
        }
        if (step === 'delete') {
          kill();
          [frozen, secret] = [false, ONE];
          await change(() => undefined, { close: 'DEVICE' });
          await register();
        }
        for (const proof of good) expect((await ask(proof)).granted).toBe(true);
        for (const proof of dead) expect((await ask(proof)).granted).toBe(false);
      }
    }),
    { numRuns: 40, seed: 20_261_123 },
  );
});
