import type { DeviceRecord } from './device.ts';
import type { TokenProof } from './proof.ts';
import { settle } from './standing.ts';
import { slotHolding } from './state.ts';
import { readToken, type TokenClaims } from './token.ts';
import { deny, type GrantVerdict, type Verdict, type VerifyContext } from './verdict.ts';

/** Longest device id; stands in for the id of a device that is not there, so that the tag costs no less. */
const NO_DEVICE = '-'.repeat(128);

/**
 * The verdict on an access token: what it was made for must stand at this moment. A slot still holds the credential, and
 * nothing has closed the device's sessions since. A grant ends with the token.
 */
export function verifyToken(device: DeviceRecord | undefined, proof: TokenProof, context: VerifyContext): Verdict {
  const { tokenKeys, nowMs } = context;
  const claims = tokenKeys && readToken(device?.deviceId ?? NO_DEVICE, proof.token.reveal(), tokenKeys);
  if (device === undefined) return deny('UNKNOWN_DEVICE');
  if (claims === undefined) return deny('TOKEN_INVALID');
  if (nowMs >= claims.expiresAtMs) return deny('TOKEN_EXPIRED');
  return judge(device, claims, context);
}

function judge(device: DeviceRecord, claims: TokenClaims, context: VerifyContext): Verdict {
  const { credentialId, sessionsClosedAt, expiresAtMs } = claims;
  const slot = slotHolding(device, credentialId);
  if (slot === undefined) return deny('TOKEN_REVOKED');
  const verdict = settle(device, { slot, credentialId }, context);
  // A freeze closes sessions too: that the device is frozen is what its operator should see.
  if (verdict.kind === 'DENY') return verdict;
  // Not "older than": after a restore, a token of the lost history may be ahead of closings that are still to come.
  return sessionsClosedAt === device.sessionsClosedAt ? until(verdict, expiresAtMs) : deny('TOKEN_REVOKED');
}

function until(grant: GrantVerdict, expiresAtMs: number): GrantVerdict {
  return { ...grant, expiresAtMs: Math.min(grant.expiresAtMs ?? expiresAtMs, expiresAtMs) };
}
