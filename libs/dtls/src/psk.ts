import { randomBytes } from 'node:crypto';
import type { DerivePsk, Peer } from './api.ts';
import { masterSecret, pskPremaster } from './key-schedule.ts';

/** The key of an identity, or undefined when there is none. */
export type FindKey = (identity: Buffer, peer: Peer) => Promise<Uint8Array | undefined>;

/** As long as a good key; what it is does not matter. */
const DECOY_BYTES = 32;

/** A `derive` for servers that hold the keys themselves. An unknown identity costs and looks the same as a wrong key. */
export function deriveFromKeys(findKey: FindKey): DerivePsk {
  return async ({ identity, hash, seed, ecdheSecret }, peer) => {
    const decoy = randomBytes(DECOY_BYTES);
    const key = (await findKey(identity, peer)) ?? decoy;
    return [masterSecret(hash, pskPremaster(key, ecdheSecret), seed)];
  };
}
