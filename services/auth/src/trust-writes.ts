import { status } from '@grpc/grpc-js';
import { NOTHING_TRUSTED, type Refusal, type TrustKey, type TrustSet } from '@latchkey/credential';
import { NO_REVISION } from '@latchkey/kernel';
import { RpcError } from '@latchkey/rpc';
import type { Store, TrustWrite } from '@latchkey/store';
import { accepted } from './request.ts';

/** Conflicts that are tried again before the caller is told: operators are few. */
const MAX_ATTEMPTS = 8;

/** A write that takes nothing away. */
export const TRUST_UPDATED = { kind: 'TRUST_UPDATED', effect: { close: 'NONE' } } as const;

/** A write after which sessions with certificates are looked at. */
export const DISABLED = { kind: 'CERTIFICATE_DISABLED', effect: { close: 'CERTIFICATES' } } as const;

/**
 * Writes what the plan makes of a trust set, and waits until no process decides on what was there before; a plan that
 * answers the same object writes nothing and waits just as long. Throws an RpcError when the plan refuses.
 */
export async function changeTrust(
  store: Store,
  key: TrustKey,
  how: Pick<TrustWrite, 'kind' | 'effect'>,
  plan: (set: TrustSet) => TrustSet | Refusal | Promise<TrustSet | Refusal>,
): Promise<TrustSet> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const before = (await store.readTrust(key)) ?? { ...NOTHING_TRUSTED, revision: NO_REVISION };
    const set = accepted(await plan(before));
    if (set === before) {
      await store.settled(key, before.revision);
      return set;
    }
    const result = await store.writeTrust({ key, expectedRevision: before.revision, set, ...how });
    if (result.outcome === 'CONFLICT') continue;
    await store.settled(key, result.revision);
    return set;
  }
  throw new RpcError(status.ABORTED, 'what is trusted is being written by others; try again');
}
