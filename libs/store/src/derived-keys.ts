import { createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import type { Keyring } from './keyring.ts';

/** Keys for another purpose than sealing, one a sealing key, named by its reference. */
export type DerivedKeys = {
  readonly current: string;
  readonly byReference: ReadonlyMap<string, KeyObject>;
};

const KEY_BYTES = 32;

/** Derives a key from each sealing key (HKDF-SHA256, RFC 5869, without salt); those of one purpose tell nothing of another's. */
export function deriveKeys(keyring: Keyring, purpose: string): DerivedKeys {
  const keys = [...keyring.byReference.values()].map(({ reference, key }) => {
    const bytes = hkdfSync('sha256', key, '', `latchkey ${purpose}`, KEY_BYTES);
    return [reference, createSecretKey(Buffer.from(bytes))] as const;
  });
  return { current: keyring.current.reference, byReference: new Map(keys) };
}
