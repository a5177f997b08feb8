import {
  DEFAULT_SETTINGS,
  type DeviceRecord,
  freeze,
  heldIn,
  type Proof,
  promoteSecondary,
  type RetirementMoment,
  resetSecret,
  retire,
  retireLater,
} from '@latchkey/credential';
import { type Clock, type DeviceId, Secret, systemClock, systemRandom, toRevision } from '@latchkey/kernel';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Verifier } from './authenticate.ts';
import type { Session } from './sessions.ts';
import { newId, plain, secretDevice } from './test-devices.ts';
import { Gate, type HeldStore, holdStore, operate } from './test-store.ts';
import { NoDecision } from './waiting.ts';

const DEVICE = 'pump_7' as DeviceId;
const OLD = 'old-secret-1';
const NEW = 'new-secret-2';
const DENIED = { granted: false, reason: 'SECRET_MISMATCH' };

let held: HeldStore;
let settling: Gate;
let verifier: Verifier;
let clock: Clock & { aheadMs: number };

beforeEach(async () => {
  held = await holdStore();
  settling = new Gate();
  clock = { aheadMs: 0, now: () => systemClock.now() + clock.aheadMs, monotonic: systemClock.monotonic };
  verifier = new Verifier({
    store: { ...held.store, settled: () => settling.pass() },
    ...{ clock, random: systemRandom, settings: DEFAULT_SETTINGS, maxRecords: 1_000 },
  });
});
afterEach(async () => {
  await verifier.close();
  await held.dispose();
});

const ask = async (proof: Proof) =>
  (await verifier.authenticate({ deviceId: DEVICE, protocol: 'MQTT', proof })).decision;
const change = (step: (record: DeviceRecord) => ReturnType<typeof retireLater>) =>
  operate(held.inner, DEVICE, (record) => {
    if (record === undefined) throw new Error('no device');
    return step(record);
  });
const settle = () => new Promise((resolve) => setImmediate(resolve));
const kinds = async () => (await held.inner.log(0, { position: 0, nonce: '' }, 100)).entries?.map(({ kind }) => kind);

/** A device with an old primary in use, and a new secondary that was never used. */
async function register(): Promise<void> {
  await operate(held.inner, DEVICE, () => secretDevice(DEVICE, OLD));
  await change((record) =>
    resetSecret(record, 'SECONDARY', { credentialId: newId(), secret: new Secret(NEW), nowMs: 1 }),
  );
}
const retireOld = (when: RetirementMoment) => change((record) => retireLater(record, 'PRIMARY', when));

test('the first use of a credential is written once, before any of many questions is granted', async () => {
  await register();
  held.writes.shut();
  let answered = 0;
  const burst = Array.from({ length: 50 }, () =>
    ask(plain(NEW)).then((decision) => {
      answered += 1;
      return decision;
    }),
  );
  await settle();
  expect(answered).toBe(0);
  held.writes.open();
  const decisions = await Promise.all(burst);
  expect(decisions.every((decision) => decision.granted && !decision.activatedNow)).toBe(true);
  expect(await kinds()).toEqual(['UPDATED', 'UPDATED', 'USED']);
  const record = await held.inner.read(DEVICE);
  expect(record && heldIn(record, 'SECONDARY')?.firstUsedAtMs).toBeGreaterThan(1);
  expect(record && heldIn(record, 'PRIMARY')?.firstUsedAtMs).toBe(1);
  expect(await ask(plain(NEW))).toMatchObject({ granted: true, revision: record?.revision });
  expect(await kinds()).toHaveLength(3);
});

test('activation and first use are one write', async () => {
  await operate(held.inner, DEVICE, () => secretDevice(DEVICE, OLD, { activatedAtMs: undefined }));
  expect(await ask(plain(OLD))).toMatchObject({ granted: true, activatedNow: true });
  expect(await kinds()).toEqual(['UPDATED', 'ACTIVATED']);
  const record = await held.inner.read(DEVICE);
  expect(record && heldIn(record, 'PRIMARY')?.firstUsedAtMs).toBe(record?.activatedAtMs);
});

test('a reset between the proof and the note of its first use: nothing is noted, nothing granted', async () => {
  await register();
  held.writes.shut();
  const question = ask(plain(NEW));
  await settle();
  await change((record) =>
    resetSecret(record, 'SECONDARY', { credentialId: newId(), secret: new Secret('another-one'), nowMs: 2 }),
  );
  held.writes.open();
  expect(await question).toEqual(DENIED);
  const record = await held.inner.read(DEVICE);
  expect(record && heldIn(record, 'SECONDARY')?.firstUsedAtMs).toBeUndefined();
});

test('the success that a retirement waited for retires the other, everywhere before it is granted', async () => {
  await register();
  await retireOld('ON_OTHER_USED');
  expect(await ask(plain(OLD))).toMatchObject({ granted: true, expiresAtMs: undefined });
  settling.shut();
  let answered = 0;
  const count = <T>(answer: T): T => {
    answered += 1;
    return answer;
  };
  const first = ask(plain(NEW)).then(count);
  await expect.poll(() => settling.waiting).toBe(1);
  // Other questions with the new secret see the record without the old one, in memory too, and wait all the same.
  const second = ask(plain(NEW)).then(count);
  expect(await check({ deviceId: DEVICE, credentialId: newId(), revision: toRevision(1), basis: undefined })).toEqual([
    false,
  ]);
  const third = ask(plain(NEW)).then(count);
  await settle();
  await settle();
  expect(answered).toBe(0);
  settling.open();
  expect(await Promise.all([first, second, third])).toMatchObject(Array(3).fill({ granted: true }));
  expect(await ask(plain(OLD))).toEqual(DENIED);
  const entries = (await held.inner.log(0, { position: 0, nonce: '' }, 100)).entries ?? [];
  const closed = heldIn(secretDeviceOf(await held.inner.read(DEVICE)), 'SECONDARY');
  expect(closed?.firstUsedAtMs).toBeGreaterThan(1);
  expect(entries.slice(3)).toMatchObject([{ kind: 'RETIRED', effect: { close: 'CREDENTIAL' } }]);
});

test('many successes at once with the new secret retire the old one once', async () => {
  await register();
  await retireOld('ON_OTHER_USED');
  const decisions = await Promise.all(Array.from({ length: 30 }, () => ask(plain(NEW))));
  expect(decisions.every(({ granted }) => granted)).toBe(true);
  expect((await kinds())?.filter((kind) => kind === 'RETIRED')).toHaveLength(1);
});

test('a deadline is told with the grant, and from then on the secret is refused, also from memory', async () => {
  await register();
  const atMs = systemClock.now() + 3_600_000;
  await retireOld({ atMs });
  expect(await ask(plain(OLD))).toMatchObject({ granted: true, expiresAtMs: atMs });
  clock.aheadMs = atMs - systemClock.now();
  expect(await ask(plain(OLD))).toEqual(DENIED);
  expect(await ask(plain(NEW))).toMatchObject({ granted: true, expiresAtMs: undefined });
  expect(held.readCount()).toBeLessThan(4);
});

test('a deadline that passes between proof and answer takes the grant with it', async () => {
  await register();
  const atMs = systemClock.now() + 3_600_000;
  await retireOld({ atMs });
  await ask(plain(OLD));
  // The clock is read for the verdict, and once more before the answer.
  const times = [atMs - 1, atMs];
  const real = clock.now;
  Object.assign(clock, { now: () => times.shift() ?? atMs });
  expect(await ask(plain(OLD))).toEqual(DENIED);
  Object.assign(clock, { now: real });
});

function secretDeviceOf(record: DeviceRecord | undefined): DeviceRecord {
  if (record === undefined) throw new Error('no device');
  return record;
}

/** A session that was opened with a secret just now. */
async function sessionWith(secret: string) {
  const decision = await ask(plain(secret));
  if (!decision.granted) throw new Error(decision.reason);
  return { deviceId: DEVICE, credentialId: decision.credentialId, revision: decision.revision, basis: undefined };
}
const check = async (...sessions: Session[]) => verifier.checkSessions(sessions);

test('sessions stand with their credential, and fall with it, with a freeze and with the device', async () => {
  await register();
  const [old, recent] = [await sessionWith(OLD), await sessionWith(NEW)];
  const stranger = { ...old, deviceId: 'nobody' as DeviceId };
  expect(await check(old, recent, stranger, { ...old, credentialId: newId() })).toEqual([true, true, false, false]);
  expect(await check()).toEqual([]);
  await change((record) => promoteSecondary(record));
  expect(await check(old, recent)).toEqual([true, true]);
  await change((record) => retire(record, 'SECONDARY'));
  expect(await check(old, recent)).toEqual([false, true]);
  await change((record) => freeze(record));
  expect(await check(recent)).toEqual([false]);
});

test('a session ends at its deadline, and with a write that closed all of its device since', async () => {
  await register();
  const [old, recent] = [await sessionWith(OLD), await sessionWith(NEW)];
  const atMs = systemClock.now() + 3_600_000;
  await retireOld({ atMs });
  expect(await check(old)).toEqual([true]);
  clock.aheadMs = atMs - systemClock.now();
  expect(await check(old, recent)).toEqual([false, true]);
  const record = secretDeviceOf(await held.inner.read(DEVICE));
  const closing = { deviceId: DEVICE, expectedRevision: record.revision, state: record, kind: 'RESET' } as const;
  await held.inner.write({ ...closing, effect: { close: 'DEVICE' }, replay: undefined });
  expect(await check(recent)).toEqual([false]);
  expect(await check(await sessionWith(NEW))).toEqual([true]);
});

test('a session that is newer than what is in memory is looked up in the store', async () => {
  await register();
  const old = await sessionWith(OLD);
  held.deaf = true;
  await change((record) =>
    resetSecret(record, 'PRIMARY', { credentialId: newId(), secret: new Secret('another-one'), nowMs: 2 }),
  );
  const record = secretDeviceOf(await held.inner.read(DEVICE));
  const credentialId = heldIn(record, 'PRIMARY')?.credentialId ?? newId();
  expect(await check({ deviceId: DEVICE, credentialId, revision: record.revision, basis: undefined })).toEqual([true]);
  expect(await check(old)).toEqual([false]);
  expect(await check({ ...old, credentialId, revision: toRevision(record.revision + 1) })).toEqual([false]);
});

test('what changes while sessions are looked up is looked at again, before any is answered', async () => {
  await register();
  const session = await sessionWith(OLD);
  held.lose();
  held.reads.shut();
  const answer = check(session);
  await settle();
  await change((record) => retire(record, 'PRIMARY'));
  held.reads.open();
  expect(await answer).toEqual([false]);
});

test('without a lease no session is judged', async () => {
  await register();
  const session = await sessionWith(OLD);
  held.lease = [false];
  await expect(check(session)).rejects.toThrow(new NoDecision('this replica has no lease'));
  held.lease = [true, false];
  await expect(check(session)).rejects.toThrow(NoDecision);
});
