import { type CipherCCMTypes, createCipheriv, createDecipheriv } from 'node:crypto';
import { cbcProtector, cbcSealedBytes } from './cbc.ts';
import { type DirectionKeys, type Randoms, recordKeys } from './key-schedule.ts';
import { additionalData, epochAndSequence, type RecordHeader, type WireRecord } from './records.ts';
import type { AeadCipher, Suite } from './suites.ts';

/** Seals and opens the records of one direction. */
export type Protector = {
  /** The fragment that carries the plaintext under this header. */
  readonly seal: (header: RecordHeader, plaintext: Buffer) => Buffer;
  /** The plaintext, or undefined when the record is not authentic. */
  readonly open: (record: WireRecord) => Buffer | undefined;
};

/** What opens and seals the records of epoch 1, on the server's side. */
export type EpochKeys = { readonly read: Protector; readonly write: Protector };

/** The protection of both directions. */
export function epochKeys(suite: Suite, master: Uint8Array, randoms: Randoms): EpochKeys {
  const { client, server } = recordKeys(suite, master, randoms);
  return { read: protectorFor(suite, client), write: protectorFor(suite, server) };
}

/** How many bytes a plaintext of so many has once it is sealed. */
export function sealedBytes({ cipher }: Suite, plaintextBytes: number): number {
  if (cipher.mode === 'CBC_ENCRYPT_THEN_MAC') return cbcSealedBytes(cipher, plaintextBytes);
  return cipher.explicitNonceBytes + plaintextBytes + cipher.tagBytes;
}

/** The protection that a suite asks for. */
export function protectorFor({ cipher }: Suite, keys: DirectionKeys): Protector {
  return cipher.mode === 'AEAD' ? aeadProtector(cipher, keys) : cbcProtector(cipher, keys);
}

/**
 * Counter-based nonces: the explicit part of GCM and CCM is the record number (RFC 5288 3, RFC 6655 3), which never
 * comes twice under one key; ChaCha20 takes IV xor record number (RFC 7905 2).
 */
function aeadProtector(cipher: AeadCipher, { key, iv }: DirectionKeys): Protector {
  const { explicitNonceBytes, tagBytes } = cipher;
  // One name for the three families: Node types CCM, GCM and ChaCha20 apart, and CCM's options serve them all.
  const algorithm = cipher.algorithm as CipherCCMTypes;
  const options = { authTagLength: tagBytes };
  const nonceOf = (number: Buffer) => (explicitNonceBytes > 0 ? Buffer.concat([iv, number]) : xorTail(iv, number));
  return {
    seal: (header, plaintext) => {
      const number = epochAndSequence(header);
      const sealing = createCipheriv(algorithm, key, nonceOf(number), options);
      sealing.setAAD(additionalData(header, plaintext.length), { plaintextLength: plaintext.length });
      const sealed = Buffer.concat([sealing.update(plaintext), sealing.final()]);
      return Buffer.concat([number.subarray(0, explicitNonceBytes), sealed, sealing.getAuthTag()]);
    },
    open: (record) => {
      const { fragment } = record;
      const length = fragment.length - explicitNonceBytes - tagBytes;
      if (length < 0) return undefined;
      const number = explicitNonceBytes > 0 ? fragment.subarray(0, explicitNonceBytes) : epochAndSequence(record);
      const opening = createDecipheriv(algorithm, key, nonceOf(number), options);
      opening.setAuthTag(fragment.subarray(explicitNonceBytes + length));
      opening.setAAD(additionalData(record, length), { plaintextLength: length });
      try {
        const sealed = fragment.subarray(explicitNonceBytes, explicitNonceBytes + length);
        return Buffer.concat([opening.update(sealed), opening.final()]);
      } catch {
        return undefined;
      }
    },
  };
}

/** The last bytes of `bytes` xor `tail`. */
function xorTail(bytes: Buffer, tail: Buffer): Buffer {
  const result = Buffer.from(bytes);
  const start = bytes.length - tail.length;
  for (const [index, byte] of tail.entries()) result[start + index] = byte ^ bytes.readUInt8(start + index);
  return result;
}
