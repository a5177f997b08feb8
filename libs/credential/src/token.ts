import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import { CREDENTIAL_ID_BYTES, type CredentialId, type Revision, toCredentialId, toRevision } from '@latchkey/kernel';

// An access token, 84 characters of base64url:
//   format u8 = 1 | key reference 4 | end u48, ms since the epoch | credential id 12 | sessions closed at u64 | tag 32
// The tag is HMAC-SHA256 over what stands before it, and over the id of the device, which is not part of the token. The
// fields before the id have a fixed length, so no two pairs of token and device share a tagged text.

/** How long a token lives at most: IoTDA's `expires_in` of 86,399 s (API iot_06_v5_7008). */
export const TOKEN_LIFE_MS = 86_400_000;

/** Keys that tags are made with, by the 8 hex characters that name them inside a token. */
export type TokenKeys = {
  /** The one that new tokens are made with. */
  readonly current: string;
  readonly byReference: ReadonlyMap<string, KeyObject>;
};

/** What a token says of the grant behind it. */
export type TokenClaims = {
  readonly credentialId: CredentialId;
  /** The last closing of the device's sessions as at the grant: a later one ends the token too. */
  readonly sessionsClosedAt: Revision;
  /** From then on it is no good; milliseconds since the epoch. */
  readonly expiresAtMs: number;
};

const FORMAT = 1;
const REFERENCE_AT = 1;
const EXPIRY_AT = 5;
const CREDENTIAL_AT = 11;
const CLOSED_AT = CREDENTIAL_AT + CREDENTIAL_ID_BYTES;
const TAG_AT = CLOSED_AT + 8;
const TAG_BYTES = 32;
/** A multiple of three: every character counts in full, so a token has one spelling. */
const TOKEN_BYTES = TAG_AT + TAG_BYTES;
const TOKEN_TEXT = /^[A-Za-z0-9_-]{84}$/;

/** A token of this device. Throws when the current key is missing. */
export function makeToken(deviceId: string, claims: TokenClaims, keys: TokenKeys): string {
  const key = keys.byReference.get(keys.current);
  if (key === undefined) throw new Error('there is no key to make tokens with');
  const token = Buffer.alloc(TOKEN_BYTES);
  token.writeUInt8(FORMAT, 0);
  token.write(keys.current, REFERENCE_AT, 'hex');
  token.writeUIntBE(claims.expiresAtMs, EXPIRY_AT, CREDENTIAL_AT - EXPIRY_AT);
  token.write(claims.credentialId, CREDENTIAL_AT, 'base64url');
  token.writeBigUInt64BE(BigInt(claims.sessionsClosedAt), CLOSED_AT);
  token.set(tagOf(key, token, deviceId), TAG_AT);
  return token.toString('base64url');
}

/** What the token says; undefined: it was not made with one of these keys for this device. Never throws. */
export function readToken(deviceId: string, text: string, keys: TokenKeys): TokenClaims | undefined {
  if (!TOKEN_TEXT.test(text)) return undefined;
  const token = Buffer.from(text, 'base64url');
  const key = keys.byReference.get(token.toString('hex', REFERENCE_AT, EXPIRY_AT));
  if (key === undefined || token.readUInt8(0) !== FORMAT) return undefined;
  if (!timingSafeEqual(tagOf(key, token, deviceId), token.subarray(TAG_AT))) return undefined;
  return {
    credentialId: toCredentialId(token.subarray(CREDENTIAL_AT, CLOSED_AT)),
    sessionsClosedAt: toRevision(token.readBigUInt64BE(CLOSED_AT)),
    expiresAtMs: token.readUIntBE(EXPIRY_AT, CREDENTIAL_AT - EXPIRY_AT),
  };
}

function tagOf(key: KeyObject, token: Buffer, deviceId: string): Buffer {
  return createHmac('sha256', key).update(token.subarray(0, TAG_AT)).update(deviceId).digest();
}
