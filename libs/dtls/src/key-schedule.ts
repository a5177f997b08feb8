import { createHmac } from 'node:crypto';
import { vector } from './bytes.ts';
import type { PrfHash, Suite } from './suites.ts';

/** Bytes of a master secret (RFC 5246 8.1). */
export const MASTER_SECRET_BYTES = 48;

/** Bytes of a Finished message's verify data (RFC 5246 7.4.9). */
export const VERIFY_DATA_BYTES = 12;

/** The pseudo-random function of TLS 1.2 (RFC 5246 5): what it is computed from, and how many bytes are wanted. */
export type PrfInput = {
  readonly hash: PrfHash;
  readonly secret: Uint8Array;
  readonly label: string;
  readonly seed: Uint8Array;
  readonly bytes: number;
};

/** P_hash of RFC 5246 5. */
export function prf({ hash, secret, label, seed, bytes }: PrfInput): Buffer {
  const labelled = Buffer.concat([Buffer.from(label, 'ascii'), seed]);
  const hmac = (...parts: readonly Uint8Array[]) => {
    const keyed = createHmac(hash, secret);
    for (const part of parts) keyed.update(part);
    return keyed.digest();
  };
  let output = Buffer.alloc(0);
  for (let a = hmac(labelled); output.length < bytes; a = hmac(a)) output = Buffer.concat([output, hmac(a, labelled)]);
  return output.subarray(0, bytes);
}

/** What follows the label of the master secret: RFC 5246 8.1, or with extended master secret RFC 7627 4. */
export type MasterSeed =
  | { readonly kind: 'RANDOMS'; readonly bytes: Buffer }
  | { readonly kind: 'SESSION_HASH'; readonly bytes: Buffer };

/** The master secret of a premaster secret. */
export function masterSecret(hash: PrfHash, premaster: Uint8Array, seed: MasterSeed): Buffer {
  const label = seed.kind === 'RANDOMS' ? 'master secret' : 'extended master secret';
  return prf({ hash, secret: premaster, label, seed: seed.bytes, bytes: MASTER_SECRET_BYTES });
}

/** The premaster secret of a pre-shared key: with zeros (RFC 4279 2) or an ECDHE secret (RFC 5489 2) before it. */
export function pskPremaster(key: Uint8Array, ecdheSecret: Uint8Array): Buffer {
  return Buffer.concat([vector(2, ecdheSecret.length > 0 ? ecdheSecret : Buffer.alloc(key.length)), vector(2, key)]);
}

/** What protects the records of one direction. */
export type DirectionKeys = { readonly key: Buffer; readonly iv: Buffer; readonly macKey: Buffer };

/** Randoms of both sides. */
export type Randoms = { readonly client: Buffer; readonly server: Buffer };

/** The key block cut into both directions' keys (RFC 5246 6.3). */
export function recordKeys(
  suite: Suite,
  master: Uint8Array,
  randoms: Randoms,
): { readonly client: DirectionKeys; readonly server: DirectionKeys } {
  const { keyBytes, ivBytes } = suite.cipher;
  const macBytes = suite.cipher.mode === 'CBC_ENCRYPT_THEN_MAC' ? suite.cipher.macBytes : 0;
  const seed = Buffer.concat([randoms.server, randoms.client]);
  const bytes = 2 * (macBytes + keyBytes + ivBytes);
  const block = prf({ hash: suite.prf, secret: master, label: 'key expansion', seed, bytes });
  let at = 0;
  const cut = (size: number) => {
    at += size;
    return block.subarray(at - size, at);
  };
  const [clientMac, serverMac] = [cut(macBytes), cut(macBytes)];
  const [clientKey, serverKey] = [cut(keyBytes), cut(keyBytes)];
  const [clientIv, serverIv] = [cut(ivBytes), cut(ivBytes)];
  return {
    client: { key: clientKey, iv: clientIv, macKey: clientMac },
    server: { key: serverKey, iv: serverIv, macKey: serverMac },
  };
}

/** What a Finished message says, from the hash of all messages before it (RFC 5246 7.4.9). */
export function verifyData(
  hash: PrfHash,
  master: Uint8Array,
  side: 'client' | 'server',
  transcriptHash: Uint8Array,
): Buffer {
  return prf({ hash, secret: master, label: `${side} finished`, seed: transcriptHash, bytes: VERIFY_DATA_BYTES });
}
