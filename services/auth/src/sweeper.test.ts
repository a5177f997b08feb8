import { createDevice, type DeviceState, denied, isRefusal } from '@latchkey/credential';
import { type DeviceId, NO_REVISION, Secret, systemClock, systemRandom, toCredentialId } from '@latchkey/kernel';
import { generateKeyLine, openEmbeddedStore, parseKeyring } from '@latchkey/store';
import type { Verifier } from '@latchkey/verifier';
import { expect, test } from 'vitest';
import { createDecide } from './authentication.ts';
import { sweep } from './sweeper.ts';
import { attempt, freshDirectory } from './test-process.ts';
import { keptLog } from './test-stores.ts';

const NOW_MS = 1_800_000_000_000;

function deviceOf(name: string, activationTimeoutS: number): DeviceState {
  const credentialId = toCredentialId(systemRandom(12));
  const primary = { credentialId, secret: new Secret('secret-number-1') };
  const credential = { kind: 'SECRET' as const, format: 'TEXT' as const, primary };
  const state = createDevice({ deviceId: name as DeviceId, nowMs: NOW_MS, activationTimeoutS, credential });
  if (isRefusal(state)) throw new Error(state.refused);
  return state;
}

test('devices that were not activated in time are deleted, and no others', async () => {
  const directory = await freshDirectory();
  const keyring = parseKeyring(generateKeyLine('k1', systemRandom));
  const clock = { ...systemClock, now: () => NOW_MS + 10_000 };
  const store = await openEmbeddedStore({ directory: directory.path, keyring, clock, random: systemRandom });
  const states = [deviceOf('late', 10), deviceOf('in_time', 11), deviceOf('unlimited', 0), deviceOf('quick', 5)];
  for (const state of states) {
    const written = state.deviceId === 'quick' ? { ...state, activatedAtMs: NOW_MS + 1 } : state;
    await store.write({
      ...{ deviceId: state.deviceId, expectedRevision: NO_REVISION, state: written, kind: 'CREATED' as const },
      ...{ effect: { close: 'NONE' as const }, replay: undefined },
    });
  }
  expect(await sweep(store, clock, keptLog().log)).toBe(1);
  const { records } = await store.list({ after: undefined, prefix: '', limit: 10 });
  expect(records.map(({ deviceId }) => deviceId)).toEqual(['in_time', 'quick', 'unlimited']);
  const { entries } = await store.log(0, { position: 0, nonce: '' }, 10);
  expect(entries?.at(-1)).toMatchObject({ key: 'late', kind: 'DELETED', effect: { close: 'DEVICE' } });
  await store.close();
  await directory.remove();
});

test('the age of a record that lay in memory for two months fits its field', async () => {
  const verifier = { authenticate: () => ({ decision: denied('FROZEN'), cacheAgeMs: 60 * 86_400_000 }) };
  const decide = createDecide({
    verifier: verifier as unknown as Verifier,
    decisions: { count: () => undefined, derived: () => undefined },
    log: keptLog().log,
  });
  const answer = await decide(attempt('a', 'x'));
  expect(answer.cacheAgeMs).toBe(2 ** 32 - 1);
});
