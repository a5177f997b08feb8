import { createCipheriv, createDecipheriv, createHash, createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import type { Random } from '@latchkey/kernel';

/** One sealing key. `key` prints without its bytes. */
export type SealingKey = {
  /** 1 to 16 of `a-z0-9-`. */
  readonly id: string;
  /** 8 hex characters: names id and key inside what is sealed. */
  readonly reference: string;
  readonly key: KeyObject;
};

/** The keys of a store: `current` seals, all of them open. */
export type Keyring = {
  readonly current: SealingKey;
  readonly byId: ReadonlyMap<string, SealingKey>;
  readonly byReference: ReadonlyMap<string, SealingKey>;
};

/** Most keys in a keyring: one seals and few are on their way out; more means that nobody re-seals. */
export const MAX_KEYS = 16;

/** Bytes that sealing adds: key reference 4, nonce 12, tag 16. */
export const SEAL_BYTES = 32;

const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
const REFERENCE_BYTES = 4;
// 96 bits: the nonce length that GCM takes as it is, and long enough to draw at random (NIST SP 800-38D, 8.2.2).
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const TAGGED = { authTagLength: TAG_BYTES };
const CHECK_BYTES = 8;
const KEY_ID = /^[a-z0-9-]{1,16}$/;
// 32 bytes are 43 characters of base64 and one sign of padding.
const KEY_TEXT = /^[A-Za-z0-9+/]{43}=$/;

/** The text holds no keyring; names the line, never the key. */
export class KeyringError extends Error {
  override readonly name = 'KeyringError';
}

/** What was sealed cannot be opened: its key is not in the keyring, or it was altered. */
export class SealingError extends Error {
  override readonly name = 'SealingError';
}

/** 16 hex characters that tell one key from another and give nothing away: HMAC-SHA256 of a fixed text, cut. */
export function checkValue(key: SealingKey): string {
  return createHmac('sha256', key.key)
    .update('latchkey key check')
    .digest('hex')
    .slice(0, CHECK_BYTES * 2);
}

function sealingKey(id: string, bytes: Uint8Array): SealingKey {
  const key = createSecretKey(bytes);
  const named = { id, reference: '', key };
  const digest = createHash('sha256')
    .update(`${id}:${checkValue(named)}`)
    .digest('hex');
  return { id, reference: digest.slice(0, REFERENCE_BYTES * 2), key };
}

function parseLine(line: string, number: number): SealingKey {
  const colon = line.indexOf(':');
  const id = line.slice(0, colon);
  const text = line.slice(colon + 1).trim();
  const bytes = Buffer.from(text, 'base64');
  if (colon < 0) throw new KeyringError(`line ${number}: a key is written ID:BASE64`);
  if (!KEY_ID.test(id)) throw new KeyringError(`line ${number}: a key id is 1 to 16 of a-z, 0-9 and -`);
  if (!KEY_TEXT.test(text) || bytes.length !== KEY_BYTES) {
    throw new KeyringError(`line ${number}: key "${id}" is not ${KEY_BYTES} bytes of base64`);
  }
  return sealingKey(id, bytes);
}

function refuseDoubles(keys: readonly SealingKey[], key: SealingKey, number: number): void {
  for (const other of keys) {
    if (other.id === key.id) throw new KeyringError(`line ${number}: key id "${key.id}" is used before`);
    if (checkValue(other) === checkValue(key) || other.reference === key.reference) {
      throw new KeyringError(`line ${number}: key "${key.id}" is the same as key "${other.id}" or too like it`);
    }
  }
}

/**
 * Reads a keyring: one key a line as `ID:BASE64` (32 bytes), the first seals; blank lines and `#` comments are skipped.
 * Throws a KeyringError that names the line.
 */
export function parseKeyring(text: string): Keyring {
  const keys: SealingKey[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    if (keys.length === MAX_KEYS) throw new KeyringError(`line ${index + 1}: more than ${MAX_KEYS} keys`);
    const key = parseLine(line, index + 1);
    refuseDoubles(keys, key, index + 1);
    keys.push(key);
  }
  const [current] = keys;
  if (current === undefined) throw new KeyringError('no key: write one line ID:BASE64 with 32 random bytes');
  return {
    current,
    byId: new Map(keys.map((key) => [key.id, key])),
    byReference: new Map(keys.map((key) => [key.reference, key])),
  };
}

/** A new key as a line for a keyring, without a line break. Throws a KeyringError on a bad id. */
export function generateKeyLine(id: string, random: Random): string {
  if (!KEY_ID.test(id)) throw new KeyringError('a key id is 1 to 16 of a-z, 0-9 and -');
  return `${id}:${Buffer.from(random(KEY_BYTES)).toString('base64')}`;
}

/** Seals `plain` under the current key (AES-256-GCM): reference, nonce, ciphertext, tag. `aad` is bound, not included. */
export function seal(keyring: Keyring, plain: Uint8Array, aad: Uint8Array, random: Random): Buffer {
  const nonce = random(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, keyring.current.key, nonce, TAGGED);
  cipher.setAAD(aad);
  const reference = Buffer.from(keyring.current.reference, 'hex');
  return Buffer.concat([reference, nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** The reference of the key that something was sealed under. */
export function keyReference(sealed: Buffer): string {
  return sealed.toString('hex', 0, REFERENCE_BYTES);
}

/** Opens what `seal` made. Throws a SealingError about `subject` when key or content are not right. */
export function open(keyring: Keyring, sealed: Buffer, aad: Uint8Array, subject: string): Buffer {
  if (sealed.length < SEAL_BYTES) throw new SealingError(`${subject}: what is sealed is too short`);
  const reference = keyReference(sealed);
  const key = keyring.byReference.get(reference);
  if (key === undefined) {
    throw new SealingError(
      `${subject} is sealed under key reference ${reference}, which the keyring lacks: add the key that sealed it`,
    );
  }
  const content = REFERENCE_BYTES + NONCE_BYTES;
  const decipher = createDecipheriv(CIPHER, key.key, sealed.subarray(REFERENCE_BYTES, content), TAGGED);
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  try {
    const opened = decipher.update(sealed.subarray(content, -TAG_BYTES));
    decipher.final(); // throws on a wrong tag, and has nothing to add: GCM is a stream
    return opened;
  } catch {
    throw new SealingError(
      `${subject} was altered, or moved from elsewhere: key "${key.id}" does not open it; restore it from a backup`,
    );
  }
}
