import { checkValue, type Keyring, MAX_KEYS } from './keyring.ts';
import type { Store } from './store.ts';

// The store keeps `ID:CHECK` of every key that seals in it, in up to 16 places. A place is only ever filled by `keep`,
// which the first writer wins, and every start walks the places in the same order: so of two replicas that start at once
// with different keys, one sees the other's and refuses.

type KeyStore = Pick<Store, 'keep' | 'kept' | 'forget'>;

/** A key that seals in the store, or has sealed in it. */
export type KeptKey = { readonly id: string; readonly check: string };

/** The keyring does not fit the store: the service must not start with it. */
export class KeyMismatch extends Error {
  override readonly name = 'KeyMismatch';
}

function place(index: number): string {
  return `sealing-key/${index}`;
}

function parseKept(value: string): KeptKey {
  const colon = value.indexOf(':');
  return { id: value.slice(0, colon), check: value.slice(colon + 1) };
}

function refuseUnlessHeld(keyring: Keyring, { id, check }: KeptKey): void {
  const key = keyring.byId.get(id);
  if (key === undefined) {
    throw new KeyMismatch(
      `the store holds secrets sealed under key "${id}", which the keyring lacks: add its line below the first one, ` +
        'or, if no secret is sealed under it any more, have the store forget it',
    );
  }
  if (checkValue(key) !== check) {
    throw new KeyMismatch(
      `key "${id}" in the keyring is not the key "${id}" that sealed in this store: give the right key, and a new key ` +
        'an id of its own',
    );
  }
}

/** The keys that the store knows; none: no key has sealed in it yet, it is new. */
export async function keptKeys(store: Pick<Store, 'kept'>): Promise<readonly KeptKey[]> {
  const values = await Promise.all(Array.from({ length: MAX_KEYS }, (_, index) => store.kept(place(index))));
  return values.filter((value) => value !== undefined).map(parseKept);
}

async function keepCurrent(store: KeyStore, keyring: Keyring): Promise<void> {
  const { current } = keyring;
  const own = `${current.id}:${checkValue(current)}`;
  for (let index = 0; index < MAX_KEYS; index += 1) {
    const there = await store.keep(place(index), own);
    if (there === own) return;
    refuseUnlessHeld(keyring, parseKept(there));
  }
  throw new KeyMismatch(
    `the store knows ${MAX_KEYS} keys already: re-seal, and have it forget those that are done with`,
  );
}

/**
 * Holds the keyring against the keys that seal in the store, and makes the current key one of them; a new store takes
 * it. Rejects with a KeyMismatch, which says what to do, when a key of the store is missing or is another one.
 */
export async function checkKeys(store: KeyStore, keyring: Keyring): Promise<void> {
  const kept = await keptKeys(store);
  for (const key of kept) refuseUnlessHeld(keyring, key);
  if (kept.some(({ id }) => id === keyring.current.id)) return;
  await keepCurrent(store, keyring);
  for (const key of await keptKeys(store)) refuseUnlessHeld(keyring, key);
}

/**
 * Has the store forget a key, after every replica seals under another one and a full pass of `reseal` then found
 * nothing more. Rejects with a KeyMismatch when it is the current key; an unknown key is no error.
 */
export async function forgetKey(store: KeyStore, keyring: Keyring, id: string): Promise<void> {
  if (id === keyring.current.id) {
    throw new KeyMismatch(`key "${id}" is the current key: put another one first in the keyring and re-seal before`);
  }
  for (let index = 0; index < MAX_KEYS; index += 1) {
    const value = await store.kept(place(index));
    if (value !== undefined && parseKept(value).id === id) await store.forget(place(index));
  }
}
