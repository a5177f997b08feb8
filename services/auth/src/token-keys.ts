import type { TokenKeys } from '@latchkey/credential';
import { deriveKeys, type Keyring } from '@latchkey/store';

/** The keys of access tokens, derived from the sealing keys as these are at the time of the call. */
export function tokenKeys(keyring: Keyring): () => TokenKeys {
  let derivedFrom: Keyring['byReference'] | undefined;
  let keys: TokenKeys | undefined;
  return () => {
    if (keys === undefined || derivedFrom !== keyring.byReference) {
      derivedFrom = keyring.byReference;
      keys = deriveKeys(keyring, 'access token');
    }
    return keys;
  };
}
