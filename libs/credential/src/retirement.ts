import type { CredentialId } from '@latchkey/kernel';
import type { DeviceState, RetirementMoment, Slot } from './device.ts';
import { type Refusal, refuse } from './refusal.ts';
import { retire } from './rotation.ts';
import { activationDeadlineMs } from './standing.ts';
import { contentOf, slotHolding, stateOf } from './state.ts';

/**
 * Has the credential of one slot retire at a later moment; another moment replaces the one that was set. The same object
 * comes back when the slot is EMPTY or retires then already. Refused: NOT_SET, OTHER_RETIRES.
 */
export function retireLater(device: DeviceState, slot: Slot, when: RetirementMoment): DeviceState | Refusal {
  const content = contentOf(device, slot);
  if (content.state === 'EMPTY') return device;
  if (content.state === 'ARMED') return refuse('NOT_SET');
  const { credentialId } = content;
  if (device.retirement !== undefined && device.retirement.credentialId !== credentialId)
    return refuse('OTHER_RETIRES');
  return isSet(device, when) ? device : { ...stateOf(device), retirement: { credentialId, when } };
}

function isSet({ retirement }: DeviceState, when: RetirementMoment): boolean {
  if (retirement === undefined || retirement.when === 'ON_OTHER_USED') return retirement?.when === when;
  return when !== 'ON_OTHER_USED' && retirement.when.atMs === when.atMs;
}

/** When the credential retires by the clock, milliseconds since the epoch; undefined: it does not. */
export function retirementDeadlineMs({ retirement }: DeviceState, credentialId?: CredentialId): number | undefined {
  if (retirement === undefined || retirement.when === 'ON_OTHER_USED') return undefined;
  return credentialId === undefined || credentialId === retirement.credentialId ? retirement.when.atMs : undefined;
}

/** What a retirement whose deadline has passed leaves, and whose sessions end with it; undefined: none is due. */
export function dueRetirement(
  device: DeviceState,
  nowMs: number,
): { readonly state: DeviceState; readonly credentialId: CredentialId } | undefined {
  const deadlineMs = retirementDeadlineMs(device);
  if (device.retirement === undefined || deadlineMs === undefined || nowMs < deadlineMs) return undefined;
  const { credentialId } = device.retirement;
  const slot = slotHolding(device, credentialId);
  return slot && { state: retire(device, slot), credentialId };
}

/** The device as it counts at this time: a slot whose retirement is due is EMPTY, whether it was emptied yet or not. */
export function standingAt<T extends DeviceState>(device: T, nowMs: number): T {
  const due = device.retirement && dueRetirement(device, nowMs);
  return due === undefined ? device : { ...device, ...due.state };
}

/** The earliest moment at which the clock alone changes the device: an activation or a retirement falls due. */
export function dueAtMs(device: DeviceState): number | undefined {
  const activationMs = activationDeadlineMs(device);
  const retirementMs = retirementDeadlineMs(device);
  if (activationMs === undefined || retirementMs === undefined) return activationMs ?? retirementMs;
  return Math.min(activationMs, retirementMs);
}
