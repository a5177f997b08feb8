import type { CredentialId, Revision } from '@latchkey/kernel';
import type { DeviceRecord } from './device.ts';
import { standingAt } from './retirement.ts';
import { heldIn, slotHolding } from './state.ts';
import type { Basis } from './trust.ts';

/** What a gateway remembers of the grant that opened a session. */
export type SessionGrant = {
  readonly credentialId: CredentialId;
  readonly revision: Revision;
  /** Of a grant by certificate, if the gateway kept it. */
  readonly basis: Basis | undefined;
};

/** What a session is judged by besides the device. */
export type SessionContext = {
  readonly nowMs: number;
  /** Every certificate must chain to a trusted CA, whatever its device says. */
  readonly requireTrustedCa: boolean;
  readonly isTrusted: (caId: string) => boolean;
  /** A certificate that the session rests on is disabled. */
  readonly disabled: boolean;
};

/** What the session rests on besides the record, as far as record and gateway know; undefined: on nothing. */
export function restsOn(record: DeviceRecord | undefined, { credentialId, basis }: SessionGrant): Basis | undefined {
  const slot = record && slotHolding(record, credentialId);
  const held = slot && heldIn(record, slot);
  if (held === undefined || !('fingerprint' in held)) return undefined;
  return {
    marks: [held.fingerprint, ...(basis?.marks ?? [])],
    caIds: [...(held.boundBy === undefined ? [] : [held.boundBy]), ...(basis?.caIds ?? [])],
  };
}

/**
 * May a session stay open? The device is there and not frozen, a slot still holds the credential, no write since the
 * grant closed all its sessions, and what a certificate rests on was not taken away. A grant on a revision that the
 * record has not reached is of another history.
 */
export function sessionStands(
  record: DeviceRecord | undefined,
  session: SessionGrant,
  context: SessionContext,
): boolean {
  if (record === undefined || record.frozen) return false;
  if (session.revision < record.sessionsClosedAt || session.revision > record.revision) return false;
  if (slotHolding(standingAt(record, context.nowMs), session.credentialId) === undefined) return false;
  const rests = restsOn(record, session);
  if (rests === undefined) return true;
  const { credentials } = record;
  const demanded = context.requireTrustedCa || (credentials.kind === 'CERTIFICATE' && credentials.requireTrustedCa);
  // Without a CA in the grant's basis nobody knows what chain there was.
  if (demanded && (session.basis?.caIds.length ?? 0) === 0) return false;
  return !context.disabled && rests.caIds.every(context.isTrusted);
}
