import type { DeviceState, EmptySlot } from './device.ts';

/** The slot that matches no proof. */
export const EMPTY: EmptySlot = { state: 'EMPTY' };

/** The device with other credentials. Given a record, the answer is a bare state: a write numbers it anew. */
export function withCredentials(device: DeviceState, credentials: DeviceState['credentials']): DeviceState {
  return { ...stateOf(device), credentials };
}

/** The state alone, of a state or a record. */
export function stateOf(device: DeviceState): DeviceState {
  const { deviceId, credentials, frozen, createdAtMs, activatedAtMs, activationTimeoutS } = device;
  return { deviceId, credentials, frozen, createdAtMs, activatedAtMs, activationTimeoutS };
}
