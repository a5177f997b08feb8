import type { DeviceId } from '@latchkey/kernel';
import type { Log } from '@latchkey/runtime';
import { checkKeys, forgetKey, type Keyring, type Store } from '@latchkey/store';

/** Records looked at in one step of a re-sealing: a few milliseconds, so that questions come between. */
const STEP = 200;

/** A pass finds something only while another replica seals under an old key; it has to be told of the new one. */
const MAX_PASSES = 5;

/** A keyring that can be replaced while the store uses it. */
export type LiveKeyring = { readonly keyring: Keyring; readonly replace: (next: Keyring) => void };

/** Holds the keys in use; whoever has the keyring always sees the latest. */
export function liveKeyring(first: Keyring): LiveKeyring {
  let now = first;
  return {
    keyring: {
      get current() {
        return now.current;
      },
      get byId() {
        return now.byId;
      },
      get byReference() {
        return now.byReference;
      },
    },
    replace: (next) => {
      now = next;
    },
  };
}

/**
 * Takes the keys that were read anew: checks them against the store, seals under the new current key from now on, and
 * seals again what lies under others. Rejects with a KeyMismatch, and changes nothing, when they do not fit.
 */
export async function rotate(options: {
  readonly store: Store;
  readonly live: LiveKeyring;
  readonly next: Keyring;
  readonly log: Log;
}): Promise<void> {
  const { store, live, next, log } = options;
  await checkKeys(store, next);
  live.replace(next);
  log.info({ current: next.current.id }, 'sealing keys read anew');
  await resealAll(store, next, log);
}

/**
 * Seals every record under the current key, and has the store forget the keys that seal nothing any more. A keyring of
 * one key is not in rotation. Each replica does this, the last one after all others seal under the new key too: so what
 * one of them still wrote under the old key is found, and the old key is not needed once all have said so.
 */
export async function resealAll(store: Store, keyring: Keyring, log: Log): Promise<void> {
  if (keyring.byId.size === 1) return;
  const old = [...keyring.byId.keys()].filter((id) => id !== keyring.current.id);
  let resealed = 0;
  let left = 0;
  // A second pass finds what a replica wrote under the old key while the first one ran.
  for (let pass = 1, found = 1; found > 0 && pass <= MAX_PASSES; pass++) {
    found = (await resealOnce(store)) + (await store.resealTrust());
    resealed += found;
    left = found;
    log.info({ pass, found }, 're-sealing');
  }
  if (left > 0)
    return log.warn(
      { resealed, old },
      'others still seal under old keys: have them read the new ones, then read them here again',
    );
  for (const id of old) await forgetKey(store, keyring, id);
  log.info({ resealed, old }, 're-sealed: when every replica has said so, these keys can be taken out of the keyring');
}

async function resealOnce(store: Store): Promise<number> {
  let found = 0;
  let after: DeviceId | undefined;
  do {
    const step = await store.reseal(after, STEP);
    found += step.resealed;
    after = step.next;
  } while (after !== undefined);
  return found;
}
