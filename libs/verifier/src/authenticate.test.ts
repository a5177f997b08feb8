import {
  DEFAULT_SETTINGS,
  freeze,
  type GrantVerdict,
  noteSuccess,
  type Proof,
  type Protocol,
  resetSecret,
} from '@latchkey/credential';
import { type DeviceId, Secret, systemClock, systemRandom } from '@latchkey/kernel';
import { StoreUnavailable } from '@latchkey/store';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Verifier } from './authenticate.ts';
import { CA, LEAF_ONE, LEAF_TWO, SELF_SIGNED } from './test-certificates.ts';
import { armedDevice, newId, plain, secretDevice } from './test-devices.ts';
import { type HeldStore, holdStore, operate, trustCa } from './test-store.ts';
import { NoDecision } from './waiting.ts';

const DEVICE = 'pump_7' as DeviceId;
const OLD = 'old-secret-1';
const NEW = 'new-secret-2';

let held: HeldStore;
let verifier: Verifier;

beforeEach(async () => {
  held = await holdStore();
  verifier = new Verifier({
    store: held.store,
    clock: systemClock,
    random: systemRandom,
    settings: DEFAULT_SETTINGS,
    maxRecords: 1_000,
  });
});
afterEach(async () => {
  await verifier.close();
  await held.dispose();
});

const ask = async (proof: Proof, deviceId = DEVICE, protocol: Protocol = 'MQTT') =>
  (await verifier.authenticate({ deviceId, protocol, proof })).decision;
const register = (changes = {}) => operate(held.inner, DEVICE, () => secretDevice(DEVICE, OLD, changes));
const resetTo = (secret: string) =>
  operate(held.inner, DEVICE, (record) => {
    if (record === undefined) throw new Error('no device');
    return resetSecret(record, 'PRIMARY', { credentialId: newId(), secret: new Secret(secret), nowMs: 1 });
  });
const remove = () => operate(held.inner, DEVICE, () => undefined);
/** Lets all promises that can go on do so; the embedded store reads without a turn of the event loop. */
const settle = () => new Promise((resolve) => setImmediate(resolve));
const FIRST_SUCCESS: GrantVerdict = {
  kind: 'GRANT',
  slot: 'PRIMARY',
  credentialId: newId(),
  activate: true,
  firstUse: true,
  retires: undefined,
  expiresAtMs: undefined,
  caIds: [],
};
const DENIED = { granted: false, reason: 'SECRET_MISMATCH' };

test('a record is read once and then decided on from memory, at once', async () => {
  await register();
  expect(await ask(plain(OLD))).toMatchObject({ granted: true, slot: 'PRIMARY', activatedNow: false });
  const answer = verifier.authenticate({ deviceId: DEVICE, protocol: 'MQTT', proof: plain(OLD) });
  expect(answer).not.toBeInstanceOf(Promise);
  expect(held.readCount()).toBe(1);
});

test('a reset that came between a read and its end: the old secret is neither granted nor remembered', async () => {
  await register();
  held.reads.shut();
  const question = ask(plain(OLD));
  await settle();
  await resetTo(NEW);
  held.reads.open();
  expect(await question).toEqual(DENIED);
  expect(await ask(plain(OLD))).toEqual(DENIED);
  expect(await ask(plain(NEW))).toMatchObject({ granted: true });
});

test('a reset that came between verdict and write: the old secret is not activated and not granted', async () => {
  await register({ activatedAtMs: undefined });
  held.writes.shut();
  const question = ask(plain(OLD));
  await settle();
  expect(held.writes.waiting).toBe(1);
  await resetTo(NEW);
  held.writes.open();
  expect(await question).toEqual(DENIED);
  expect((await held.inner.read(DEVICE))?.activatedAtMs).toBeUndefined();
});

test('a question after a reset does not wait for a read before it', async () => {
  await register();
  held.reads.shut();
  const before = ask(plain(NEW));
  await settle();
  await resetTo(NEW);
  const after = ask(plain(NEW));
  await settle();
  expect(held.reads.waiting).toBe(2);
  held.reads.open();
  expect(await after).toMatchObject({ granted: true });
  expect(await before).toMatchObject({ granted: true });
});

test('what was cached when changes were lost is read anew', async () => {
  await register();
  await ask(plain(OLD));
  held.deaf = true;
  await resetTo(NEW);
  held.lose();
  expect(await ask(plain(OLD))).toEqual(DENIED);
});

test('an unknown device is remembered, and found as soon as it is created', async () => {
  expect(await ask(plain(OLD))).toEqual({ granted: false, reason: 'UNKNOWN_DEVICE' });
  expect(await ask(plain(OLD))).toEqual({ granted: false, reason: 'UNKNOWN_DEVICE' });
  expect(held.readCount()).toBe(1);
  await register();
  expect(await ask(plain(OLD))).toMatchObject({ granted: true });
});

test('a wrong proof does not stand in the way of the right one, nor a frozen or deleted device in its own', async () => {
  await register();
  expect(await ask(plain('wrong-secret'))).toEqual(DENIED);
  expect(await ask(plain(OLD))).toMatchObject({ granted: true });
  await operate(held.inner, DEVICE, (record) => record && freeze(record));
  expect(await ask(plain(OLD))).toEqual({ granted: false, reason: 'FROZEN' });
  expect(await ask(plain('wrong-secret'))).toEqual(DENIED);
  await remove();
  expect(await ask(plain(OLD))).toEqual({ granted: false, reason: 'UNKNOWN_DEVICE' });
});

test('a store that is away gives no decision, and nothing of it is remembered', async () => {
  await register();
  held.readError = new StoreUnavailable('away');
  await expect(ask(plain(OLD))).rejects.toThrow(held.readError);
  await expect(ask(plain(OLD), 'nobody' as DeviceId)).rejects.toThrow(held.readError);
  held.readError = undefined;
  expect(await ask(plain(OLD))).toMatchObject({ granted: true });
  expect(await ask(plain(OLD), 'nobody' as DeviceId)).toEqual({ granted: false, reason: 'UNKNOWN_DEVICE' });
});

test('devices that connect again are decided on from memory', async () => {
  const ids = Array.from({ length: 100 }, (_, number) => `d${number}` as DeviceId);
  for (const deviceId of ids) await operate(held.inner, deviceId, () => secretDevice(deviceId, OLD));
  for (let round = 0; round < 10; round += 1) for (const deviceId of ids) await ask(plain(OLD), deviceId);
  expect(verifier.stats).toEqual({ hits: 900, misses: 100, joins: 0 });
});

test('a burst on one device is one read', async () => {
  await register();
  held.reads.shut();
  const burst = Array.from({ length: 500 }, () => ask(plain(OLD)));
  await settle();
  held.reads.open();
  expect((await Promise.all(burst)).every(({ granted }) => granted)).toBe(true);
  expect(held.readCount()).toBe(1);
});

test('questions that wait for the store are bounded, and it recovers', async () => {
  await register();
  held.reads.shut();
  const waiting = Array.from({ length: 50_000 }, () => ask(plain(OLD)));
  await expect(ask(plain(OLD))).rejects.toThrow(new NoDecision('too many questions wait for the store'));
  held.reads.open();
  await Promise.all(waiting);
  await resetTo(NEW);
  expect(await ask(plain(NEW))).toMatchObject({ granted: true });
});

test('fifty first connects at once: one activates, written before any is granted', async () => {
  await register({ activatedAtMs: undefined });
  held.writes.shut();
  let answered = 0;
  const burst = Array.from({ length: 50 }, () =>
    ask(plain(OLD)).then((decision) => {
      answered += 1;
      return decision;
    }),
  );
  await settle();
  expect(answered).toBe(0);
  held.writes.open();
  const decisions = await Promise.all(burst);
  expect(decisions.filter((decision) => decision.granted && decision.activatedNow)).toHaveLength(1);
  expect(decisions.every(({ granted }) => granted)).toBe(true);
  const log = await held.inner.log(0, { position: 0, nonce: '' }, 100);
  expect(log.entries?.map(({ kind }) => kind)).toEqual(['UPDATED', 'ACTIVATED']);
  expect((await held.inner.read(DEVICE))?.activatedAtMs).toBeGreaterThan(1);
});

test('an activation that another replica wrote, unheard of here, is read and not fought over', async () => {
  await register({ activatedAtMs: undefined });
  await ask(plain('wrong-secret')); // in memory now
  held.deaf = true;
  await operate(held.inner, DEVICE, (record) => record && noteSuccess(record, FIRST_SUCCESS, 5));
  expect(await ask(plain(OLD))).toMatchObject({ granted: true, activatedNow: false });
  expect(held.sent).toHaveLength(1);
});

test('two certificates at once on an armed device: one binds, the other is refused', async () => {
  await trustCa(held.inner, CA);
  await operate(held.inner, DEVICE, () => armedDevice(DEVICE));
  held.writes.shut();
  const questions = [LEAF_ONE, LEAF_TWO].map((leaf) => ask({ kind: 'CERTIFICATE', chain: [leaf] }));
  await settle();
  expect(held.sent.map(({ kind }) => kind)).toEqual(['BOUND', 'BOUND']);
  held.writes.open();
  const [one, two] = await Promise.all(questions);
  expect(one).toMatchObject({ granted: true, activatedNow: true });
  expect(two).toEqual({ granted: false, reason: 'FINGERPRINT_MISMATCH' });
  expect(held.sent.filter(({ kind }) => kind === 'ACTIVATED')).toHaveLength(1);
  expect(await ask({ kind: 'CERTIFICATE', chain: [LEAF_TWO] })).toMatchObject({ granted: false });
});

test('a self-signed certificate, and a bare fingerprint, bind nothing', async () => {
  await trustCa(held.inner, CA);
  await operate(held.inner, DEVICE, () => armedDevice(DEVICE));
  expect(await ask({ kind: 'FINGERPRINT', fingerprint: 'ab'.repeat(20) })).toMatchObject({ granted: false });
  expect(await ask({ kind: 'CERTIFICATE', chain: [SELF_SIGNED] })).toMatchObject({ granted: false });
  expect(held.sent).toEqual([]);
});

test('without a lease there is no decision, not even from memory', async () => {
  await register();
  await ask(plain(OLD));
  held.lease = [false];
  await expect(ask(plain(OLD))).rejects.toThrow(new NoDecision('this replica has no lease'));
  held.lease = [true];
  expect(await ask(plain(OLD))).toMatchObject({ granted: true });
});

test('a lease that comes back in time is waited for', async () => {
  await register();
  held.lease = [false, true];
  expect(await ask(plain(OLD))).toMatchObject({ granted: true });
});

test('a lease that ends between verdict and answer takes the grant with it', async () => {
  await register();
  held.lease = [true, false];
  await expect(ask(plain(OLD))).rejects.toThrow(NoDecision);
  expect(held.readCount()).toBe(1);
});

test('a device that changes with every read gets no decision, after eight reads', async () => {
  await register();
  held.reads.shut();
  const question = ask(plain(OLD)).catch((error: unknown) => error);
  for (let change = 0; change < 20; change += 1) {
    await settle();
    await resetTo(NEW);
    held.reads.release();
  }
  expect(await question).toEqual(new NoDecision('the device changes faster than it can be decided on'));
  expect(held.readCount()).toBe(8);
});

test('a trial writes nothing, sees what is written now, and says what would be', async () => {
  await register({ activatedAtMs: undefined });
  const trial = await verifier.tryProof({ deviceId: DEVICE, protocol: 'MQTT', proof: plain(OLD) });
  expect(trial).toMatchObject({
    decision: { granted: true, activatedNow: false },
    wouldActivate: true,
    wouldBind: false,
  });
  await trustCa(held.inner, CA);
  await operate(held.inner, DEVICE, () => armedDevice(DEVICE));
  const chain = [LEAF_ONE];
  const binding = await verifier.tryProof({
    deviceId: DEVICE,
    protocol: 'MQTT',
    proof: { kind: 'CERTIFICATE', chain },
  });
  expect(binding).toMatchObject({ decision: { granted: true }, wouldActivate: true, wouldBind: true });
  expect(held.sent).toEqual([]);
  expect(verifier.size).toBe(0);
});

test('CoAP takes only the primary, from the same memory', async () => {
  await register();
  await operate(held.inner, DEVICE, (record) => {
    if (record === undefined) throw new Error('no device');
    return resetSecret(record, 'SECONDARY', { credentialId: newId(), secret: new Secret(NEW), nowMs: 1 });
  });
  expect(await ask(plain(NEW), DEVICE, 'HTTPS')).toMatchObject({ granted: true, slot: 'SECONDARY' });
  expect(await ask(plain(NEW), DEVICE, 'COAP')).toEqual({ granted: false, reason: 'SECONDARY_NOT_ACCEPTED' });
});
