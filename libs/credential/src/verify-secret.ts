import type { DenyReason } from './decision.ts';
import type { DeviceState, EmptySlot, SecretFormat, SecretSlot, Slot } from './device.ts';
import { isAccepted, settle } from './standing.ts';
import { deny, type Verdict, type VerifyContext } from './verdict.ts';

/** Stands in where a slot holds no secret: as long as a generated one, and never accepted whatever it matches. */
const DUMMY_SECRET = '-'.repeat(32);

/** Whether a proof is right for this secret; constant time in the secret. */
export type SecretMatcher = (secret: string, format: SecretFormat) => boolean;

/**
 * The verdict on what a secret proves, given as a check of it against one secret. A denial runs the check exactly
 * twice, whatever the device, so that time tells nothing of it; a grant on the primary runs it once.
 */
export function verifySecret(device: DeviceState | undefined, matches: SecretMatcher, context: VerifyContext): Verdict {
  const primary = settleSlot(device, 'PRIMARY', matches, context);
  if (primary?.kind === 'GRANT') return primary;
  const secondary = settleSlot(device, 'SECONDARY', matches, context);
  return primary ?? secondary ?? deny(missReason(device, context));
}

/** The verdict if the proof is right for this slot, undefined if it is not. Runs the check once in either case. */
function settleSlot(
  device: DeviceState | undefined,
  slot: Slot,
  matches: SecretMatcher,
  context: VerifyContext,
): Verdict | undefined {
  const held = heldBy(device, slot);
  const right = matches(held?.secret.reveal() ?? DUMMY_SECRET, formatOf(device));
  return right && device && held ? settle(device, { slot, credentialId: held.credentialId }, context) : undefined;
}

/** What the secrets of the device mean; TEXT where it has none. */
function formatOf(device: DeviceState | undefined): SecretFormat {
  return device?.credentials.kind === 'SECRET' ? device.credentials.format : 'TEXT';
}

function heldBy(device: DeviceState | undefined, slot: Slot): SecretSlot | undefined {
  if (device?.credentials.kind !== 'SECRET') return undefined;
  const held: EmptySlot | SecretSlot = slot === 'PRIMARY' ? device.credentials.primary : device.credentials.secondary;
  // Anyone can compute the HMAC of an empty secret: a record that holds one must match nothing.
  return held.state === 'SET' && held.secret.reveal() !== '' ? held : undefined;
}

function missReason(device: DeviceState | undefined, context: VerifyContext): DenyReason {
  if (device === undefined) return 'UNKNOWN_DEVICE';
  if (device.credentials.kind !== 'SECRET') return 'WRONG_KIND';
  const slots: readonly Slot[] = ['PRIMARY', 'SECONDARY'];
  const holdsAny = slots.some((slot) => isAccepted(slot, context) && heldBy(device, slot) !== undefined);
  return holdsAny ? 'SECRET_MISMATCH' : 'NO_CREDENTIAL';
}
