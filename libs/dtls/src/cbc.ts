import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { DirectionKeys } from './key-schedule.ts';
import type { Protector } from './protection.ts';
import { additionalData, type RecordHeader } from './records.ts';
import type { CbcCipher } from './suites.ts';

const BLOCK_BYTES = 16;

/**
 * CBC with encrypt-then-MAC (RFC 7366 3; with connection id RFC 9146 5.2): the MAC covers IV and ciphertext and is
 * checked before anything is decrypted, so padding tells an attacker nothing.
 */
export function cbcProtector({ algorithm, macBytes }: CbcCipher, { key, macKey }: DirectionKeys): Protector {
  const macOf = (header: RecordHeader, sealed: Buffer) =>
    createHmac('sha256', macKey).update(additionalData(header, sealed.length)).update(sealed).digest();
  return {
    seal: (header, plaintext) => {
      const iv = randomBytes(BLOCK_BYTES);
      const sealing = createCipheriv(algorithm, key, iv).setAutoPadding(false);
      const sealed = Buffer.concat([iv, sealing.update(pad(plaintext)), sealing.final()]);
      return Buffer.concat([sealed, macOf(header, sealed)]);
    },
    open: (record) => {
      const sealedBytes = record.fragment.length - macBytes;
      if (sealedBytes < 2 * BLOCK_BYTES || sealedBytes % BLOCK_BYTES !== 0) return undefined;
      const sealed = record.fragment.subarray(0, sealedBytes);
      if (!timingSafeEqual(macOf(record, sealed), record.fragment.subarray(sealedBytes))) return undefined;
      const opening = createDecipheriv(algorithm, key, sealed.subarray(0, BLOCK_BYTES)).setAutoPadding(false);
      return unpad(Buffer.concat([opening.update(sealed.subarray(BLOCK_BYTES)), opening.final()]));
    },
  };
}

/** IV, padded plaintext and MAC. */
export function cbcSealedBytes({ macBytes }: CbcCipher, plaintextBytes: number): number {
  return BLOCK_BYTES + BLOCK_BYTES * Math.ceil((plaintextBytes + 1) / BLOCK_BYTES) + macBytes;
}

/** Padding of 1 to 16 bytes that all say how many follow the first (RFC 5246 6.2.3.2). */
function pad(plaintext: Buffer): Buffer {
  const last = BLOCK_BYTES - 1 - (plaintext.length % BLOCK_BYTES);
  return Buffer.concat([plaintext, Buffer.alloc(last + 1, last)]);
}

function unpad(padded: Buffer): Buffer | undefined {
  const last = padded.readUInt8(padded.length - 1);
  const length = padded.length - last - 1;
  if (length < 0 || padded.subarray(length).some((byte) => byte !== last)) return undefined;
  return padded.subarray(0, length);
}
