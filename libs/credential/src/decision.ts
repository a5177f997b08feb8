import type { CredentialId, Revision } from '@latchkey/kernel';
import type { Slot } from './device.ts';
import type { Basis } from './trust.ts';

/** Why a device was refused; `docs/reasons.md` tells what each gateway answers. */
export const DENY_REASONS = [
  'UNKNOWN_DEVICE',
  'WRONG_KIND',
  'NO_CREDENTIAL',
  'SECRET_MISMATCH',
  'STALE_TIMESTAMP',
  'FINGERPRINT_MISMATCH',
  'CERTIFICATE_INVALID',
  'CERTIFICATE_EXPIRED',
  'CERTIFICATE_UNTRUSTED',
  'CERTIFICATE_DISABLED',
  'SECONDARY_NOT_ACCEPTED',
  'FROZEN',
  'ACTIVATION_EXPIRED',
  'TOKEN_INVALID',
  'TOKEN_EXPIRED',
  'TOKEN_REVOKED',
  'THROTTLED',
] as const;

/** Why a device was refused. */
export type DenyReason = (typeof DENY_REASONS)[number];

/** The device may connect. */
export type Granted = {
  readonly granted: true;
  readonly slot: Slot;
  readonly credentialId: CredentialId;
  readonly revision: Revision;
  /** The last closing of the device's sessions before this grant; an access token carries it. */
  readonly sessionsClosedAt: Revision;
  /** This very success activated the device. */
  readonly activatedNow: boolean;
  /** When the grant ends by itself, milliseconds since the epoch; undefined: never. */
  readonly expiresAtMs: number | undefined;
  /** Of a grant by certificate: what it rests on besides the record. */
  readonly basis: Basis | undefined;
};

/** The device may not connect. */
export type Denied = { readonly granted: false; readonly reason: DenyReason };

/** A decision on one proof. */
export type Decision = Granted | Denied;

/** A refusal for a reason. */
export function denied(reason: DenyReason): Denied {
  return { granted: false, reason };
}
