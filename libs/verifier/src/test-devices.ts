import { createDevice, type DeviceState, isRefusal, type NewDevice, type Proof } from '@latchkey/credential';
import { type DeviceId, Secret, systemClock, systemRandom, toCredentialId } from '@latchkey/kernel';

/** A new credential id. */
export const newId = () => toCredentialId(systemRandom(12));

/** A new device; `credential` says of what kind. */
export function newDevice(
  deviceId: DeviceId,
  credential: NewDevice['credential'],
  changes: Partial<DeviceState> = {},
): DeviceState {
  const state = createDevice({ deviceId, nowMs: systemClock.now(), activationTimeoutS: 0, credential });
  if (isRefusal(state)) throw new Error(`refused: ${state.refused}`);
  return { ...state, ...changes };
}

/** A device with this primary secret, activated and used long ago unless said otherwise. */
export function secretDevice(deviceId: DeviceId, secret: string, changes: Partial<DeviceState> = {}): DeviceState {
  const primary = { credentialId: newId(), secret: new Secret(secret) };
  const device = newDevice(deviceId, { kind: 'SECRET', format: 'TEXT', primary }, { activatedAtMs: 1, ...changes });
  const { credentials, activatedAtMs } = device;
  if (credentials.kind !== 'SECRET' || credentials.primary.state !== 'SET') throw new Error('it has a secret');
  return {
    ...device,
    credentials: { ...credentials, primary: { ...credentials.primary, firstUsedAtMs: activatedAtMs } },
  };
}

/** A device that takes the first certificate of a trusted CA. */
export function armedDevice(deviceId: DeviceId): DeviceState {
  return newDevice(deviceId, { kind: 'CERTIFICATE', requireTrustedCa: false, primary: { trustOnFirstUse: true } });
}

/** The secret in clear. */
export const plain = (secret: string): Proof => ({ kind: 'SECRET', secret: new Secret(secret) });
