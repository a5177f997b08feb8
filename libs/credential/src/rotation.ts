import type { CredentialId } from '@latchkey/kernel';
import type { DeviceState, FingerprintSlot, RetirementMoment, SecretSlot, Slot } from './device.ts';
import { type Refusal, refuse } from './refusal.ts';
import { contentOf, EMPTY, heldIn, otherSlot, withCredentials } from './state.ts';

/** Last uses are known to a minute: one noted at a time may have been this much later. */
export const USE_PRECISION_MS = 60_000;

/** What is known of last uses, outside the records. */
export type LastUses = {
  /** Start of the minute of the last known success of each credential, milliseconds since the epoch. */
  readonly lastUsedAtMs: ReadonlyMap<CredentialId, number>;
  /** Until then any credential may have been used unnoticed, because a replica vanished with what it knew; 0: none did. */
  readonly blindUntilMs: number;
};

/** When a retirement shall happen. */
export type RetireWhen = 'NOW' | RetirementMoment;

/** Empties one slot, ARMED or SET; it never arms. The same object comes back when the slot is EMPTY already. */
export function retire(device: DeviceState, slot: Slot): DeviceState {
  const { credentials } = device;
  if (contentOf(device, slot).state === 'EMPTY') return device;
  return withCredentials(
    device,
    slot === 'PRIMARY' ? { ...credentials, primary: EMPTY } : { ...credentials, secondary: EMPTY },
  );
}

/**
 * Makes the two slots change places; ids, times and a retirement go with their credentials. Refused: SECONDARY_EMPTY,
 * SECONDARY_CANNOT_ARM (the primary is ARMED: that cannot move).
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

/**
 * Would the retirement take away the only credential that the device is known to use? The other slot must hold one that
 * has had a success and does not itself retire by the clock. A retirement that waits for the other slot waits for that.
 */
export function locksOut(device: DeviceState, slot: Slot, when: RetireWhen): boolean {
  if (when === 'ON_OTHER_USED' || contentOf(device, slot).state === 'EMPTY') return false;
  const other = heldIn(device, otherSlot(slot));
  if (other?.firstUsedAtMs === undefined) return true;
  const { retirement } = device;
  return retirement?.credentialId === other.credentialId && retirement.when !== 'ON_OTHER_USED';
}

/**
 * The last use of a held credential, milliseconds since the epoch, to a minute; undefined: never. Time in which uses may
 * have gone unnoticed counts as use, except of a credential that was set later or is not used yet: first uses are durable.
 */
export function lastUseOf(held: SecretSlot | FingerprintSlot, uses: LastUses): number | undefined {
  if (held.firstUsedAtMs === undefined) return undefined;
  const knownMs = uses.lastUsedAtMs.get(held.credentialId) ?? 0;
  const blindMs = uses.blindUntilMs >= held.setAtMs ? uses.blindUntilMs : 0;
  return Math.max(held.firstUsedAtMs, knownMs, blindMs);
}

/**
 * The slot that can be retired without locking the device out; undefined: none. It is the one that was set earlier,
 * when the other has been used, and it itself neither since then nor within the quiet time.
 */
export function safeToRetire(
  device: DeviceState,
  uses: LastUses,
  time: { readonly nowMs: number; readonly quietMs: number },
): Slot | undefined {
  const primary = heldIn(device, 'PRIMARY');
  const secondary = heldIn(device, 'SECONDARY');
  if (primary === undefined || secondary === undefined || primary.setAtMs === secondary.setAtMs) return undefined;
  const slot = primary.setAtMs < secondary.setAtMs ? 'PRIMARY' : 'SECONDARY';
  const [older, newer] = slot === 'PRIMARY' ? [primary, secondary] : [secondary, primary];
  if (newer.firstUsedAtMs === undefined || locksOut(device, slot, 'NOW')) return undefined;
  const lastMs = lastUseOf(older, uses);
  if (lastMs === undefined) return slot;
  const usedUntilMs = lastMs + USE_PRECISION_MS;
  return usedUntilMs <= newer.firstUsedAtMs && usedUntilMs + time.quietMs <= time.nowMs ? slot : undefined;
}
