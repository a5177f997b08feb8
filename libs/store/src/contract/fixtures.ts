import { crc32 } from 'node:zlib';
import type { CertificateCredentials, DeviceState, SecretSlot } from '@latchkey/credential';
import {
  type DeviceId,
  NO_REVISION,
  parseDeviceId,
  type Revision,
  Secret,
  systemRandom,
  toCredentialId,
} from '@latchkey/kernel';
import { afterEach } from 'vitest';
import { generateKeyLine, type Keyring, parseKeyring } from '../keyring.ts';
import type { RecordKey, Store, Write } from '../store.ts';

/** A store over fresh data, and what the suite needs beside it. */
export type StoreHarness = {
  readonly store: Store;
  /** The same data with this keyring; ends the store before if only one may have the data. `dispose` ends all. */
  readonly reopen: (keyring: Keyring) => Promise<Store>;
  /** All that the store has laid down, as it lies there. */
  readonly dump: () => Promise<Uint8Array>;
  /** Puts bytes in the place of a record that is there, behind the store's back. */
  readonly overwrite: (key: RecordKey, bytes: Uint8Array) => Promise<void>;
  readonly dispose: () => Promise<void>;
};

/** Makes a store over fresh data. */
export type MakeStore = (keyring: Keyring) => Promise<StoreHarness>;

/** A device id from text that is one. */
export function id(text: string): DeviceId {
  const deviceId = parseDeviceId(text);
  if (deviceId === undefined) throw new TypeError(`${text} is no device id`);
  return deviceId;
}

/** Which of the store's logs holds a device's changes. */
export function logOf({ shards }: Store, deviceId: DeviceId): number {
  return crc32(deviceId) % shards;
}

/** Ids of other devices whose changes stand in the same log. */
export function neighboursOf(store: Store, deviceId: DeviceId, count: number): readonly DeviceId[] {
  const found: DeviceId[] = [];
  for (let number = 0; found.length < count; number++) {
    const other = id(`device-${number}`);
    if (logOf(store, other) === logOf(store, deviceId)) found.push(other);
  }
  return found;
}

/** A keyring of new keys; the first id seals. */
export function keyringOf(...ids: readonly string[]): Keyring {
  return parseKeyring(ids.map((keyId) => generateKeyLine(keyId, systemRandom)).join('\n'));
}

/** A slot with a secret. */
export function secretSlot(secret: string): SecretSlot {
  return {
    state: 'SET',
    credentialId: toCredentialId(systemRandom(12)),
    setAtMs: 1_700_000_000_123,
    firstUsedAtMs: undefined,
    secret: new Secret(secret),
  };
}

/** A device with two secrets. */
export function deviceOf(deviceId: DeviceId, changes: Partial<DeviceState> = {}): DeviceState {
  return {
    deviceId,
    credentials: {
      kind: 'SECRET',
      format: 'TEXT',
      primary: secretSlot('primary-secret'),
      secondary: secretSlot('secondary-secret'),
    },
    frozen: false,
    createdAtMs: 1_700_000_000_000,
    activatedAtMs: undefined,
    activationTimeoutS: 0,
    retirement: undefined,
    ...changes,
  };
}

/** The credentials of a certificate device whose primary awaits its first certificate. */
export function armedCredentials(fingerprint: string): CertificateCredentials {
  return {
    kind: 'CERTIFICATE',
    requireTrustedCa: true,
    primary: { state: 'ARMED', setAtMs: 1_700_000_000_001 },
    secondary: {
      state: 'SET',
      credentialId: toCredentialId(systemRandom(12)),
      setAtMs: 1_700_000_000_002,
      firstUsedAtMs: 1_700_000_000_003,
      fingerprint,
      boundBy: undefined,
    },
  };
}

/** A write of a device: a creation unless changed. */
export function writeOf(deviceId: DeviceId, changes: Partial<Write> = {}): Write {
  return {
    deviceId,
    expectedRevision: NO_REVISION,
    state: deviceOf(deviceId),
    kind: 'CREATED',
    effect: { close: 'NONE' },
    replay: undefined,
    ...changes,
  };
}

/** Writes, and answers the new revision; throws unless it was written. */
export async function written(store: Store, write: Write): Promise<Revision> {
  const result = await store.write(write);
  if (result.outcome !== 'WRITTEN') throw new Error(`the write of ${write.deviceId} ended as ${result.outcome}`);
  return result.revision;
}

/** A record, or any part of one, as plain values with its secrets shown: as they are, all secrets compare equal. */
export function shown(value: unknown): unknown {
  if (value instanceof Secret) return value.reveal();
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, shown(part)]));
}

/** For one group of tests: stores that are ended after each test. */
export function makeStores(makeStore: MakeStore): MakeStore {
  const open: StoreHarness[] = [];
  afterEach(async () => {
    for (const harness of open.splice(0)) await harness.dispose();
  });
  return async (keyring) => {
    const harness = await makeStore(keyring);
    open.push(harness);
    return harness;
  };
}
