import type { DeviceState, Slot } from './device.ts';
import { type Refusal, refuse } from './refusal.ts';
import { EMPTY, withCredentials } from './state.ts';

/** Empties one slot, ARMED or SET; it never arms. The same object comes back when the slot is EMPTY already. */
export function retire(device: DeviceState, slot: Slot): DeviceState {
  const { credentials } = device;
  const content = slot === 'PRIMARY' ? credentials.primary : credentials.secondary;
  if (content.state === 'EMPTY') return device;
  return withCredentials(
    device,
    slot === 'PRIMARY' ? { ...credentials, primary: EMPTY } : { ...credentials, secondary: EMPTY },
  );
}

/**
 * Makes the two slots change places, ids and times with them. Refused: SECONDARY_EMPTY, SECONDARY_CANNOT_ARM (the
 * primary is ARMED: that cannot move).
 */
export function promoteSecondary(device: DeviceState): DeviceState | Refusal {
  const { credentials } = device;
  if (credentials.secondary.state === 'EMPTY') return refuse('SECONDARY_EMPTY');
  if (credentials.kind === 'SECRET') {
    const { primary, secondary } = credentials;
    return withCredentials(device, { ...credentials, primary: secondary, secondary: primary });
  }
  const { primary, secondary } = credentials;
  if (primary.state === 'ARMED') return refuse('SECONDARY_CANNOT_ARM');
  return withCredentials(device, { ...credentials, primary: secondary, secondary: primary });
}
