import type { CredentialId } from '@latchkey/kernel';
import type { DeviceState, EmptySlot, FingerprintSlot, SecretSlot, Slot } from './device.ts';

/** The slot that matches no proof. */
export const EMPTY: EmptySlot = { state: 'EMPTY' };

/** What a slot holds. */
export function contentOf({ credentials }: DeviceState, slot: Slot): DeviceState['credentials']['primary'] {
  return slot === 'PRIMARY' ? credentials.primary : credentials.secondary;
}

/** The other slot. */
export function otherSlot(slot: Slot): Slot {
  return slot === 'PRIMARY' ? 'SECONDARY' : 'PRIMARY';
}

/** What a slot holds if it is SET. */
export function heldIn(device: DeviceState, slot: Slot): SecretSlot | FingerprintSlot | undefined {
  const content = contentOf(device, slot);
  return content.state === 'SET' ? content : undefined;
}

/** The slot that holds the credential; undefined: none does. */
export function slotHolding(device: DeviceState, credentialId: CredentialId): Slot | undefined {
  const slots: readonly Slot[] = ['PRIMARY', 'SECONDARY'];
  return slots.find((slot) => heldIn(device, slot)?.credentialId === credentialId);
}

/**
 * The device with other credentials; a retirement goes with the credential that it was for. Given a record, the answer
 * is a bare state: a write numbers it anew.
 */
export function withCredentials(device: DeviceState, credentials: DeviceState['credentials']): DeviceState {
  const state = { ...stateOf(device), credentials };
  const { retirement } = device;
  const stays = retirement !== undefined && slotHolding(state, retirement.credentialId) !== undefined;
  return stays || retirement === undefined ? state : { ...state, retirement: undefined };
}

/** The state alone, of a state or a record. */
export function stateOf(device: DeviceState): DeviceState {
  const { deviceId, credentials, frozen, createdAtMs, activatedAtMs, activationTimeoutS, retirement } = device;
  return { deviceId, credentials, frozen, createdAtMs, activatedAtMs, activationTimeoutS, retirement };
}
