import { DEFAULT_SETTINGS } from '@latchkey/credential';
import { type DeviceId, systemClock, systemRandom } from '@latchkey/kernel';
import { StoreUnavailable, type UseReport } from '@latchkey/store';
import { expect, test } from 'vitest';
import { Verifier } from './authenticate.ts';
import { newId, plain, secretDevice } from './test-devices.ts';
import { holdStore, operate } from './test-store.ts';
import { MAX_NOTED, Uses } from './uses.ts';

const MINUTE_MS = 60_000;
const NOW_MS = 1_700_000_040_000; // a full minute

/** Notes over a store that keeps what it is told, and fails while `fails` is set. */
function usesOver() {
  const told: UseReport[] = [];
  const ended: string[] = [];
  const failures: unknown[] = [];
  const state = { nowMs: NOW_MS, fails: false };
  const uses = new Uses({
    clock: { now: () => state.nowMs, monotonic: () => state.nowMs },
    random: systemRandom,
    reportFailed: (error) => failures.push(error),
    store: {
      reportUses: async (report) => {
        if (state.fails) throw new StoreUnavailable('away');
        told.push(report);
      },
      endUses: async (replica) => {
        ended.push(replica);
      },
    },
  });
  return { uses, told, ended, failures, state };
}

/** Grants on one record in memory, with either of its credentials. */
function grantsOn(name: string) {
  const deviceId = name as DeviceId;
  return {
    primary: { noted: 0, deviceId, slot: 'PRIMARY', credentialId: newId() },
    secondary: { noted: 0, deviceId, slot: 'SECONDARY', credentialId: newId() },
  } as const;
}

test('a use is told once a minute, by the start of its minute, and each credential has its own', async () => {
  const { uses, told, state } = usesOver();
  const { primary, secondary } = grantsOn('d');
  const first = uses.note(primary, NOW_MS + 1);
  const again = uses.note({ ...primary, noted: first }, NOW_MS + MINUTE_MS - 1);
  const other = uses.note({ ...secondary, noted: again }, NOW_MS + MINUTE_MS - 1);
  await uses.tell();
  expect(told[0]?.uses).toEqual([
    { deviceId: 'd', credentialId: primary.credentialId, atMs: NOW_MS },
    { deviceId: 'd', credentialId: secondary.credentialId, atMs: NOW_MS },
  ]);
  expect([told[0]?.completeToMs, told[0]?.lostUntilMs, uses.size]).toEqual([NOW_MS, 0, 0]);
  const same = uses.note({ ...secondary, noted: other }, NOW_MS + MINUTE_MS - 1);
  uses.note({ ...secondary, noted: same }, NOW_MS + MINUTE_MS);
  state.nowMs += MINUTE_MS;
  await uses.tell();
  expect(told[1]?.uses).toEqual([{ deviceId: 'd', credentialId: secondary.credentialId, atMs: NOW_MS + MINUTE_MS }]);
  expect(told[1]?.completeToMs).toBe(NOW_MS + MINUTE_MS);
});

test('what could not be told is told later', async () => {
  const { uses, told, state } = usesOver();
  const { primary } = grantsOn('d');
  state.fails = true;
  uses.note(primary, NOW_MS);
  const failing = uses.tell();
  uses.note(primary, NOW_MS + MINUTE_MS);
  await expect(failing).rejects.toThrow('away');
  state.fails = false;
  await uses.tell();
  expect(told).toHaveLength(1);
  const times = told[0]?.uses
    .filter(({ credentialId }) => credentialId === primary.credentialId)
    .map(({ atMs }) => atMs);
  expect(times?.sort()).toEqual([NOW_MS, NOW_MS + MINUTE_MS]);
});

test('what is noted has a bound, and what is dropped is said to be lost', async () => {
  const { uses, told, state } = usesOver();
  const { primary, secondary } = grantsOn('d');
  for (let minute = 0; minute <= MAX_NOTED; minute += 1) uses.note(primary, NOW_MS + minute * MINUTE_MS);
  expect(uses.size).toBe(MAX_NOTED);
  state.fails = true;
  const failing = uses.tell().catch(() => undefined);
  await Promise.resolve();
  uses.note(secondary, NOW_MS);
  await failing;
  expect(uses.size).toBe(MAX_NOTED);
  state.fails = false;
  await uses.tell();
  expect(told[0]?.uses).toHaveLength(MAX_NOTED);
  expect(told[0]?.lostUntilMs).toBe(NOW_MS + (MAX_NOTED + 1) * MINUTE_MS);
  await uses.tell();
  expect(told[1]).toMatchObject({ uses: [], lostUntilMs: 0 });
});

test('reports go one after another, and those asked for meanwhile share one', async () => {
  const { uses, told } = usesOver();
  await Promise.all([uses.tell(), uses.tell(), uses.tell()]);
  expect(told).toHaveLength(1);
});

test('it reports at the start, and at the end tells the rest before it ends its reports', async () => {
  const { uses, told, ended, failures } = usesOver();
  await uses.start();
  expect(told).toMatchObject([{ uses: [] }]);
  uses.note(grantsOn('d').primary, NOW_MS);
  await uses.close();
  await uses.close();
  expect(told[1]?.uses).toHaveLength(1);
  expect([ended, failures]).toEqual([[told[0]?.replica], []]);
});

test('an end that the store does not hear of is no end: its reports stay open', async () => {
  const { uses, ended, failures, state } = usesOver();
  await uses.start();
  state.fails = true;
  await uses.close();
  expect([ended, failures]).toEqual([[], [new StoreUnavailable('away')]]);
});

test('grants from memory and after a read are noted, denials and trials are not', async () => {
  const held = await holdStore();
  const deviceId = 'pump_7' as DeviceId;
  const minuteMs = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS; // stands still: no minute begins under the test
  const verifier = new Verifier({
    ...{ store: held.store, clock: { ...systemClock, now: () => minuteMs }, random: systemRandom },
    ...{ settings: DEFAULT_SETTINGS, maxRecords: 10 },
  });
  try {
    await operate(held.inner, deviceId, () => secretDevice(deviceId, 'secret-1'));
    const ask = (secret: string) => verifier.authenticate({ deviceId, protocol: 'MQTT', proof: plain(secret) });
    await ask('wrong-one');
    await verifier.tryProof({ deviceId, protocol: 'MQTT', proof: plain('secret-1') });
    expect(verifier.untold).toBe(0);
    expect(ask('secret-1')).not.toBeInstanceOf(Promise);
    expect(verifier.untold).toBe(1);
    expect(await ask('secret-1')).toMatchObject({ decision: { granted: true } });
    expect(verifier.untold).toBe(1);
    await verifier.tellUses();
    const { lastUsedAtMs } = await held.inner.lastUses([deviceId]);
    expect([...lastUsedAtMs.values()]).toEqual([minuteMs]);
    held.lose(); // the next question reads
    await ask('secret-1');
    expect(verifier.untold).toBe(1);
  } finally {
    await verifier.close();
    await held.dispose();
  }
});
