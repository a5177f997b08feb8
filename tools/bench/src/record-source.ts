import { createDevice, isRefusal, noteSuccess } from '@latchkey/credential';
import {
  CREDENTIAL_ID_BYTES,
  type DeviceId,
  NO_REVISION,
  Secret,
  systemClock,
  systemRandom,
  toCredentialId,
  toRevision,
} from '@latchkey/kernel';
import { generateKeyLine, packState, parseKeyring, type Store, unpackRecord, withHeader } from '@latchkey/store';
import { secretOf } from './devices.ts';

/** A lease that outlasts any run. */
const LEASE_MS = 86_400_000;

/**
 * A store of secret devices in use that makes each record when it is read: sealed and opened by the real codec, so
 * that it lies in memory as a real one does. Nothing can be written.
 */
export function recordSource(indexOf: (deviceId: DeviceId) => number): Store {
  const keyring = parseKeyring(generateKeyLine('bench', systemRandom));
  const { now, monotonic } = systemClock;
  const [begunAtMs, endsAtMs] = [now(), monotonic() + LEASE_MS];
  const refuse = () => Promise.reject(new Error('this store can only be read'));
  return {
    storeId: 'bench',
    shards: 1,
    figures: () => ({}),
    // Both clocks are read, as a lease over a shared store must.
    hears: () => true,
    lease: { holds: () => monotonic() < endsAtMs && now() >= begunAtMs, waitFor: async () => true },
    read: async (deviceId) => {
      const body = packState(newState(deviceId, secretOf(indexOf(deviceId))), keyring, systemRandom);
      return unpackRecord(withHeader(body, toRevision(1), NO_REVISION), keyring, deviceId);
    },
    listen: () => () => undefined,
    write: refuse,
    settled: refuse,
    replayed: refuse,
    list: refuse,
    overdue: refuse,
    log: refuse,
    reseal: refuse,
    keep: refuse,
    kept: refuse,
    forget: refuse,
    readTrust: async () => undefined,
    writeTrust: refuse,
    resealTrust: refuse,
    reportUses: refuse,
    endUses: refuse,
    lastUses: refuse,
    close: async () => undefined,
  };
}

/** A device in use, with this secret. */
export function newState(deviceId: DeviceId, secret: string) {
  const nowMs = systemClock.now();
  const credentialId = toCredentialId(systemRandom(CREDENTIAL_ID_BYTES));
  const primary = { credentialId, secret: new Secret(secret) };
  const credential = { kind: 'SECRET', format: 'TEXT', primary } as const;
  const state = createDevice({ deviceId, nowMs, activationTimeoutS: 0, credential });
  if (isRefusal(state)) throw new Error(`a device that cannot be: ${state.refused}`);
  const first = { kind: 'GRANT', slot: 'PRIMARY', credentialId, activate: true, firstUse: true } as const;
  return noteSuccess(state, { ...first, retires: undefined, expiresAtMs: undefined, caIds: [] }, nowMs);
}
