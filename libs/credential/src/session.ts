import type { CredentialId, Revision } from '@latchkey/kernel';
import type { DeviceRecord } from './device.ts';
import { standingAt } from './retirement.ts';
import { slotHolding } from './state.ts';

/** What a gateway remembers of the grant that opened a session. */
export type SessionGrant = { readonly credentialId: CredentialId; readonly revision: Revision };

/**
 * May a session stay open? The device is there and not frozen, a slot still holds the credential, and no write since the
 * grant closed all its sessions. A grant on a revision that the record has not reached is of another history.
 */
export function sessionStands(record: DeviceRecord | undefined, session: SessionGrant, nowMs: number): boolean {
  if (record === undefined || record.frozen) return false;
  if (session.revision < record.sessionsClosedAt || session.revision > record.revision) return false;
  return slotHolding(standingAt(record, nowMs), session.credentialId) !== undefined;
}
