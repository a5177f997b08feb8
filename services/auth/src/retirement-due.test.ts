import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  createDevice,
  DEFAULT_SETTINGS,
  type DeviceState,
  isRefusal,
  noteSuccess,
  retireLater,
} from '@latchkey/credential';
import { type DeviceId, NO_REVISION, Secret, systemClock, systemRandom, toCredentialId } from '@latchkey/kernel';
import { GetRotationReportRequestSchema, RetireCredentialRequestSchema, Slot } from '@latchkey/protocol/v1';
import { generateKeyLine, openEmbeddedStore, parseKeyring, type Store } from '@latchkey/store';
import { Verifier } from '@latchkey/verifier';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { rotationReport } from './report.ts';
import { retireCredentials } from './retirement.ts';
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
  const used = noteSuccess(fresh, { ...grant, retires: undefined, expiresAtMs: undefined, caIds: [] }, NOW_MS);
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
    { key: 'due', kind: 'RETIRED', effect: { close: 'CREDENTIAL', credentialId: due.credentialId } },
    { key: 'late_and_due', kind: 'DELETED', effect: { close: 'DEVICE' } },
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

function ports() {
  const settings = { settings: DEFAULT_SETTINGS, maxRecords: 10 };
  const verifier = new Verifier({ store, clock, random: systemRandom, ...settings });
  return { store, verifier, clock, random: systemRandom, quietMs: 0 };
}

test('a retirement by hand ends the sessions of its credential, one that is only set ends none', async () => {
  const { deviceId, credentialId } = await register('by_hand', DUE_MS + 60_000);
  const request = { deviceIds: [deviceId], slot: Slot.PRIMARY, execute: true };
  const moment = { case: 'onOtherUsed' as const, value: true };
  await retireCredentials(ports(), create(RetireCredentialRequestSchema, { ...request, moment }), 'operator');
  await retireCredentials(ports(), create(RetireCredentialRequestSchema, request), 'operator');
  expect((await changes()).slice(1)).toMatchObject([
    { kind: 'UPDATED', effect: { close: 'NONE' } },
    { kind: 'RETIRED', effect: { close: 'CREDENTIAL', credentialId } },
  ]);
});

test('a report has the uses until its very moment', async () => {
  const { deviceId } = await register('reported', DUE_MS + 3_600_000);
  const open = ports();
  clock.nowMs = DUE_MS + 600_000;
  const proof = { kind: 'SECRET', secret: new Secret('secret-number-1') } as const;
  expect((await open.verifier.authenticate({ deviceId, protocol: 'MQTT', proof })).decision.granted).toBe(true);
  const lastUsedAt = timestampFromMs(Math.floor(clock.nowMs / 60_000) * 60_000);
  const { devices } = await rotationReport(open, create(GetRotationReportRequestSchema, { deviceId }));
  expect(devices[0]?.slots[0]).toMatchObject({ firstUsedAt: timestampFromMs(NOW_MS), lastUsedAt });
  const rehearsal = create(RetireCredentialRequestSchema, { deviceIds: [deviceId], slot: Slot.PRIMARY });
  expect((await retireCredentials(open, rehearsal, 'operator')).outcomes[0]).toMatchObject({ lastUsedAt, done: false });
});
