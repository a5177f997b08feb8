import { hash } from 'node:crypto';

/** Block of SHA-256 and of SM3, bytes (FIPS 180-4; GB/T 32905). */
const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
/** Room for a secret: 32 characters by the vendor's rules, several times that once encoded. A longer message has a buffer of its own. */
const ROOM_BYTES = 256;
const INNER_BYTE = 0x36;
const OUTER_BYTE = 0x5c;

/** What HMAC hashes for one key: each buffer begins with a block of the key, and what varies comes behind it. */
type Pads = { readonly inner: Buffer; readonly outer: Buffer };

/** A hash with the parameters of HMAC above. */
export type HmacHash = 'sha256' | 'sm3';

let last: { readonly algorithm: HmacHash; readonly key: string; readonly pads: Pads } | undefined;

/**
 * HMAC (RFC 2104) of a UTF-8 text under a UTF-8 key, in lowercase hex. A fleet's keys are timestamps, nearly all of the
 * same hour: the blocks of the last key are kept, and two one-shot hashes cost a quarter of an Hmac object
 * (`npm run bench -- verify`).
 */
export function hmacHex(algorithm: HmacHash, key: string, message: string): string {
  const { inner, outer } = padsOf(algorithm, key);
  const bytes = Buffer.byteLength(message);
  const text = bytes <= ROOM_BYTES ? inner : Buffer.concat([inner.subarray(0, BLOCK_BYTES)], BLOCK_BYTES + bytes);
  text.write(message, BLOCK_BYTES);
  outer.write(hash(algorithm, text.subarray(0, BLOCK_BYTES + bytes), 'latin1'), BLOCK_BYTES, 'latin1');
  return hash(algorithm, outer, 'hex');
}

function padsOf(algorithm: HmacHash, key: string): Pads {
  if (last?.key === key && last.algorithm === algorithm) return last.pads;
  const pads = {
    inner: Buffer.alloc(BLOCK_BYTES + ROOM_BYTES, INNER_BYTE),
    outer: Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES, OUTER_BYTE),
  };
  const bytes = Buffer.from(key);
  const block = bytes.length <= BLOCK_BYTES ? bytes : hash(algorithm, bytes, 'buffer');
  for (const [index, byte] of block.entries()) {
    pads.inner[index] = byte ^ INNER_BYTE;
    pads.outer[index] = byte ^ OUTER_BYTE;
  }
  last = { algorithm, key, pads };
  return pads;
}
