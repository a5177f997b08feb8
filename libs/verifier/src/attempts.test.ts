import { DEFAULT_SETTINGS, type DenyReason, denied, freeze } from '@latchkey/credential';
import { type DeviceId, systemClock, systemRandom } from '@latchkey/kernel';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FailedAttempts } from './attempts.ts';
import { Verifier } from './authenticate.ts';
import { plain, secretDevice } from './test-devices.ts';
import { type HeldStore, holdStore, operate } from './test-store.ts';

const ALLOWANCE = { burst: 3, intervalMs: 1_000 };
const A = 'a' as DeviceId;
const B = 'b' as DeviceId;
const WRONG = denied('SECRET_MISMATCH');
const RIGHT = { ...denied('FROZEN'), granted: false } as const;

test('a pair may fail so often at once, and once more in each interval; a throttled attempt costs it nothing', () => {
  let nowMs = 5_000;
  const failed = new FailedAttempts(ALLOWANCE, () => nowMs);
  const looksAt = (attempt: { deviceId: DeviceId; source?: string }) => {
    if (failed.areSpent(attempt)) return false;
    failed.note(attempt, WRONG);
    return true;
  };
  const here = { deviceId: A, source: '192.0.2.1' };
  expect(Array.from({ length: 6 }, () => looksAt(here))).toEqual([true, true, true, false, false, false]);
  nowMs += 999;
  expect(looksAt(here)).toBe(false);
  nowMs += 1;
  expect([looksAt(here), looksAt(here)]).toEqual([true, false]);
  expect(looksAt({ deviceId: A, source: '192.0.2.2' })).toBe(true); // the device from elsewhere
  expect(looksAt({ deviceId: B, source: '192.0.2.1' })).toBe(true); // its neighbour
  nowMs += 3_000;
  expect(looksAt(here)).toBe(true);
  expect(failed.size).toBe(1); // all was whole again, so all was forgotten
});

test('without a source there is no budget', () => {
  const failed = new FailedAttempts(ALLOWANCE, () => 0);
  for (let count = 0; count < 100; count++) {
    failed.note({ deviceId: A }, WRONG);
    failed.note({ deviceId: A, source: '' }, WRONG);
  }
  expect([failed.size, failed.areSpent({ deviceId: A }), failed.areSpent({ deviceId: A, source: '' })]).toEqual([
    ...[0, false, false],
  ]);
});

test.each(['FROZEN', 'ACTIVATION_EXPIRED', 'SECONDARY_NOT_ACCEPTED', 'TOKEN_EXPIRED', 'THROTTLED'] as DenyReason[])(
  '%s is no failed attempt',
  (reason) => {
    const failed = new FailedAttempts(ALLOWANCE, () => 0);
    for (let count = 0; count < 10; count++) failed.note({ deviceId: A, source: 's' }, denied(reason));
    expect(failed.size).toBe(0);
  },
);

test('as many as the table holds are kept apart, and it grows no further', () => {
  const failed = new FailedAttempts(ALLOWANCE, () => 0, 10);
  for (let number = 0; number < 50; number++) failed.note({ deviceId: A, source: `s${number}` }, WRONG);
  expect(failed.size).toBe(10);
});

test('whatever others do, a pair is looked at as its own failures have it', () => {
  const pairs = [
    ...[
      { deviceId: A, source: 'x' },
      { deviceId: A, source: 'y' },
      { deviceId: B, source: 'x' },
    ],
    { deviceId: 'a_x' as DeviceId, source: 'x' },
  ];
  const step = fc.record({ pair: fc.nat(pairs.length - 1), wrong: fc.boolean(), afterMs: fc.nat(1_500) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      let nowMs = 0;
      const together = new FailedAttempts(ALLOWANCE, () => nowMs, 10);
      const alone = pairs.map(() => new FailedAttempts(ALLOWANCE, () => nowMs, 10));
      const failures = pairs.map((): number[] => []);
      for (const { pair, wrong, afterMs } of steps) {
        nowMs += afterMs;
        const attempt = pairs[pair] ?? { deviceId: A };
        const spent = together.areSpent(attempt);
        expect(spent).toBe(alone[pair]?.areSpent(attempt));
        if (spent) continue;
        for (const each of [together, alone[pair]]) each?.note(attempt, wrong ? WRONG : RIGHT);
        if (wrong) failures[pair]?.push(nowMs);
      }
      for (const times of failures) {
        for (const [at, fromMs] of times.entries()) {
          const within = times.slice(at).filter((atMs) => atMs < fromMs + 2_000).length;
          expect(within).toBeLessThanOrEqual(ALLOWANCE.burst + 2);
        }
      }
    }),
    { numRuns: 500 },
  );
});

let held: HeldStore;
let verifier: Verifier;
let aheadMs = 0;
beforeEach(async () => {
  held = await holdStore();
  aheadMs = 0;
  verifier = new Verifier({
    store: held.store,
    clock: { now: systemClock.now, monotonic: () => systemClock.monotonic() + aheadMs },
    ...{ random: systemRandom, settings: DEFAULT_SETTINGS, trustedCas: () => [], maxRecords: 100 },
    failures: { burst: 3, intervalMs: 3_600_000 },
  });
});
afterEach(async () => {
  await verifier.close();
  await held.dispose();
});

const SECRET = 'right-secret-1';
async function ask(deviceId: DeviceId, secret: string, source: string): Promise<string> {
  const { decision } = await verifier.authenticate({ deviceId, protocol: 'MQTT', proof: plain(secret), source });
  return decision.granted ? 'GRANTED' : decision.reason;
}

test('a flood of wrong proofs shuts out its own source alone, and only while it is going on', async () => {
  for (const id of [A, B]) await operate(held.inner, id, () => secretDevice(id, SECRET));
  expect(await ask(A, SECRET, 'there')).toBe('GRANTED');
  const flood = [];
  for (let count = 0; count < 5; count++) flood.push(await ask(A, 'not-the-secret', 'there'));
  expect(flood).toEqual([...Array(3).fill('SECRET_MISMATCH'), 'THROTTLED', 'THROTTLED']);
  expect(await ask(A, SECRET, 'there')).toBe('THROTTLED'); // not looked at, so a guess that is right is not told
  expect([await ask(A, SECRET, 'here'), await ask(B, SECRET, 'there'), await ask(A, SECRET, '')]).toEqual([
    ...['GRANTED', 'GRANTED', 'GRANTED'],
  ]);
  aheadMs += 3_600_000;
  expect(await ask(A, SECRET, 'there')).toBe('GRANTED');
});

test('an unknown device and a frozen one', async () => {
  const unknown = [];
  for (let count = 0; count < 4; count++) unknown.push(await ask(B, SECRET, 'there'));
  expect(unknown).toEqual([...Array(3).fill('UNKNOWN_DEVICE'), 'THROTTLED']);
  await operate(held.inner, A, () => secretDevice(A, SECRET));
  await operate(held.inner, A, (record) => record && freeze(record));
  for (let count = 0; count < 6; count++) expect(await ask(A, SECRET, 'there')).toBe('FROZEN');
  expect(verifier.failing).toBe(1);
});
