import { FatalAlert } from './alerts.ts';
import { Reader } from './bytes.ts';
import type { KeyExchange } from './suites.ts';

/** Twice what RFC 4279 5.3 asks for; a device's name is shorter. */
export const MAX_IDENTITY_BYTES = 256;

/** A client's share of the key agreement. */
export type ClientKeyExchange = {
  /** Of PSK suites, as bytes; else empty. */
  readonly identity: Buffer;
  /** The point of ECDHE suites; else empty. */
  readonly publicKey: Buffer;
};

const NONE = Buffer.alloc(0);

/** Reads a ClientKeyExchange (RFC 4279 2, RFC 5489 2, RFC 8422 5.7). Throws a DecodeError or ILLEGAL_PARAMETER. */
export function readClientKeyExchange(body: Buffer, keyExchange: KeyExchange): ClientKeyExchange {
  const reader = new Reader(body);
  const isPsk = keyExchange === 'PSK' || keyExchange === 'ECDHE_PSK';
  const identity = isPsk ? reader.vector(2) : NONE;
  const publicKey = keyExchange === 'PSK' ? NONE : reader.vector(1);
  reader.end();
  if (isPsk && (identity.length === 0 || identity.length > MAX_IDENTITY_BYTES)) {
    throw new FatalAlert('ILLEGAL_PARAMETER', 'the identity has no byte or too many');
  }
  return { identity, publicKey };
}
