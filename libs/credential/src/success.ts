import type { DeviceState, Slot } from './device.ts';
import { retire } from './rotation.ts';
import { slotHolding, stateOf, withCredentials } from './state.ts';
import type { GrantVerdict } from './verdict.ts';

/** Does this grant change the device's record? Then `noteSuccess` must be written before the device is let in. */
export function leavesTrace(grant: GrantVerdict): boolean {
  return grant.activate || grant.firstUse || grant.retires !== undefined;
}

/**
 * The device after a success: activated, the credential's first use noted, and the other slot EMPTY if its retirement
 * waited for this. The same object comes back when nothing changes.
 */
export function noteSuccess(device: DeviceState, grant: GrantVerdict, nowMs: number): DeviceState {
  const used = grant.firstUse ? withFirstUse(device, grant.slot, nowMs) : device;
  const retiring = grant.retires && slotHolding(used, grant.retires);
  const left = retiring ? retire(used, retiring) : used;
  return grant.activate ? { ...stateOf(left), activatedAtMs: nowMs } : left;
}

function withFirstUse(device: DeviceState, slot: Slot, nowMs: number): DeviceState {
  const { credentials } = device;
  const used = <T extends { readonly state: string }>(content: T): T =>
    content.state === 'SET' ? { ...content, firstUsedAtMs: nowMs } : content;
  if (credentials.kind === 'SECRET') {
    const { primary, secondary } = credentials;
    return withCredentials(
      device,
      slot === 'PRIMARY' ? { ...credentials, primary: used(primary) } : { ...credentials, secondary: used(secondary) },
    );
  }
  const { primary, secondary } = credentials;
  return withCredentials(
    device,
    slot === 'PRIMARY' ? { ...credentials, primary: used(primary) } : { ...credentials, secondary: used(secondary) },
  );
}
