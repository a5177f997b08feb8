import { createECDH, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';
import { FatalAlert } from './alerts.ts';

/** Groups of RFC 8422 5.1.1 that are spoken, the preferred one first. */
export const GROUPS = { X25519: 29, SECP256R1: 23 } as const;

/** This side's half of an ephemeral Diffie-Hellman exchange. */
export type KeyShare = {
  readonly group: number;
  readonly publicKey: Buffer;
  /** The shared secret. Throws ILLEGAL_PARAMETER on a point that is none of the group's, or whose secret is zero. */
  readonly agree: (peerKey: Buffer) => Buffer;
};

/** DER before the 32 bytes of an X25519 public key (RFC 8410 4). */
const X25519_SPKI_PREFIX = Buffer.from('302a300506032b656e032100', 'hex');
const X25519_BYTES = 32;

/** Uncompressed point: 4, x, y (RFC 8422 5.4.1). */
const P256_POINT_BYTES = 65;
const UNCOMPRESSED_MARK = 4;

/** A fresh key of the group. */
export function makeKeyShare(group: number): KeyShare {
  return group === GROUPS.X25519 ? x25519() : p256();
}

function x25519(): KeyShare {
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  const agree = (peerKey: Buffer) => {
    if (peerKey.length !== X25519_BYTES) throw badPoint();
    const key = createPublicKey({ key: Buffer.concat([X25519_SPKI_PREFIX, peerKey]), format: 'der', type: 'spki' });
    return agreed(() => diffieHellman({ privateKey, publicKey: key }));
  };
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  return { group: GROUPS.X25519, publicKey: spki.subarray(X25519_SPKI_PREFIX.length), agree };
}

function p256(): KeyShare {
  const ecdh = createECDH('prime256v1');
  const agree = (peerKey: Buffer) => {
    if (peerKey.length !== P256_POINT_BYTES || peerKey[0] !== UNCOMPRESSED_MARK) throw badPoint();
    return agreed(() => ecdh.computeSecret(peerKey));
  };
  return { group: GROUPS.SECP256R1, publicKey: ecdh.generateKeys(), agree };
}

/** OpenSSL refuses points off the curve, and X25519 results of zero (RFC 7748 6.1). */
function agreed(compute: () => Buffer): Buffer {
  try {
    return compute();
  } catch {
    throw badPoint();
  }
}

function badPoint(): FatalAlert {
  return new FatalAlert('ILLEGAL_PARAMETER', 'the public key is not a point of the group');
}
