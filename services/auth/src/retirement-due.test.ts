import { createDevice, type DeviceState, isRefusal, noteSuccess, retireLater } from '@latchkey/credential';
import { type DeviceId, NO_REVISION, Secret, systemClock, systemRandom, toCredentialId } from '@latchkey/kernel';
import { generateKeyLine, openEmbeddedStore, parseKeyring, type Store } from '@latchkey/store';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sweep } from './sweeper.ts';
import { freshDirectory } from './test-process.ts';
import { keptLog } from './test-stores.ts';
import { superseded, writeRecord } from './writes.ts';

const NOW_MS = 1_800_000_000_000;
const DUE_MS = NOW_MS + 10_000;

let store: Store;
let clock: { nowMs: number; now: () => number; monotonic: () => number };
let remove: () => Promise<void>;

beforeEach(async () => {
  const directory = await freshDirectory();
  clock = { nowMs: DUE_MS, now: () => clock.nowMs, monotonic: systemClock.monotonic };
  const keyring = parseKeyring(generateKeyLine('k1', systemRandom));
  store = await openEmbeddedStore({ directory: directory.path, keyring, clock, random: systemRandom });
  remove = directory.remove;
});
afterEach(async () => {
  await store.close();
  await remove();
});

function accepted<T extends object>(outcome: T): Exclude<T, { refused: unknown }> {
  if (isRefusal(outcome)) throw new Error(outcome.refused);
  return outcome as Exclude<T, { refused: unknown }>;
}

/** Registers an activated device whose only secret retires then, and answers the secret's id. */
async function register(name: string, atMs: number, changes: Partial<DeviceState> = {}) {
  const credentialId = toCredentialId(systemRandom(12));
  const deviceId = name as DeviceId;
  const primary = { credentialId, secret: new Secret('secret-number-1') };
  const credential = { kind: 'SECRET', format: 'TEXT', primary } as const;
  const fresh = accepted(createDevice({ deviceId, nowMs: NOW_MS, activationTimeoutS: 0, credential }));
  const grant = { kind: 'GRANT', slot: 'PRIMARY', credentialId, activate: true, firstUse: true } as const;
  const used = noteSuccess(fresh, { ...grant, retires: undefined, expiresAtMs: undefined }, NOW_MS);
  const state = { ...accepted(retireLater(used, 'PRIMARY', { atMs })), ...changes };
  await store.write({
    ...{
      deviceId,
      expectedRevision: NO_REVISION,
      state,
      kind: 'CREATED',
      effect: { close: 'NONE' },
      replay: undefined,
    },
  });
  return { deviceId, credentialId };
}

const changes = async () => (await store.log(0, { position: 0, nonce: '' }, 1_000)).entries ?? [];

test('a sweep empties what is due, ends its sessions, and leaves the rest alone', async () => {
  const due = await register('due', DUE_MS);
  await register('later', DUE_MS + 1);
  const late = { activatedAtMs: undefined, activationTimeoutS: 10 };
  await register('late_and_due', DUE_MS, late);
  expect(await sweep(store, clock, keptLog().log)).toBe(2);
  expect((await changes()).slice(3)).toMatchObject([
    { deviceId: 'due', kind: 'RETIRED', effect: { close: 'CREDENTIAL', credentialId: due.credentialId } },
    { deviceId: 'late_and_due', kind: 'DELETED', effect: { close: 'DEVICE' } },
  ]);
  expect(await store.read(due.deviceId)).toMatchObject({
    credentials: { primary: { state: 'EMPTY' } },
    retirement: undefined,
  });
  expect(await sweep(store, clock, keptLog().log)).toBe(0);
});

test('a fleet that is due at once is swept at once', async () => {
  await Promise.all(Array.from({ length: 250 }, (_, index) => register(`d${index}`, DUE_MS)));
  expect(await sweep(store, clock, keptLog().log)).toBe(250);
  expect(await store.overdue(DUE_MS, 10)).toEqual([]);
});

test('a write to a device whose retirement is due carries that out first, and its sessions end', async () => {
  const { deviceId, credentialId } = await register('due', DUE_MS);
  const head = { deviceId, operator: 'operator', requestId: '', parameters: '', expectedRevision: undefined };
  const plan = (record: DeviceState | undefined) => {
    if (record?.retirement !== undefined) throw superseded();
    return { state: record, kind: 'UPDATED', effect: { close: 'NONE' } } as const;
  };
  await writeRecord({ store, clock }, { ...head, plan });
  expect((await changes()).slice(1)).toMatchObject([
    { kind: 'RETIRED', effect: { close: 'CREDENTIAL', credentialId } },
    { kind: 'UPDATED' },
  ]);
});
