import type { Random } from '@latchkey/kernel';
import { StoreUnavailable } from '@latchkey/store';
import type { ShardKeys } from './keys.ts';
import type { Caller } from './session.ts';

const FORMAT = 1;
const STORE_ID_BYTES = 12;

/** How a new store's identity is laid down. */
export type Introduction = {
  readonly layout: readonly ShardKeys[];
  /** A connection to the server of a shard. */
  readonly callerOf: (shard: ShardKeys) => Promise<Caller>;
  readonly random: Random;
};

/**
 * The id of the store in these servers; empty ones are given one. Safe with many replicas that start at once. Each shard
 * carries the identity, so that a server that came back empty is known; the first one says when all have it. `made`:
 * something was written.
 */
export async function identify({ layout, callerOf, random }: Introduction): Promise<{
  readonly storeId: string;
  readonly made: boolean;
}> {
  const [first, ...others] = layout;
  if (first === undefined) throw new TypeError('a store has at least one shard');
  const caller = await callerOf(first);
  const drawn = Buffer.from(random(STORE_ID_BYTES)).toString('base64url');
  const complete = others.length === 0;
  const set = await caller.call(['SET', first.store, identityText(drawn, layout.length, complete), 'NX']);
  const found = parseIdentity(await caller.call(['GET', first.store]), first.store, layout.length);
  const text = identityText(found.id, layout.length, true);
  for (const shard of others) {
    const other = await callerOf(shard);
    if (!found.complete) await other.call(['SET', shard.store, text, 'NX']);
    await recognise(other, { shard, shards: layout.length, storeId: found.id });
  }
  if (!found.complete) await caller.call(['SET', first.store, text]);
  return { storeId: found.id, made: set !== null || !found.complete };
}

/** Makes sure that a shard is one of the same store. Rejects with a StoreUnavailable when it is not. */
export async function recognise(
  caller: Caller,
  { shard, shards, storeId }: { readonly shard: ShardKeys; readonly shards: number; readonly storeId: string },
): Promise<void> {
  const text = await caller.call(['GET', shard.store]);
  if (text === null) throw new StoreUnavailable('this Redis has lost the store: restore it, then restart the service');
  if (parseIdentity(text, shard.store, shards).id !== storeId) {
    throw new StoreUnavailable('this Redis holds another store than before');
  }
}

function identityText(id: string, shards: number, complete: boolean): string {
  return JSON.stringify({ id, format: FORMAT, shards, complete });
}

function parseIdentity(
  text: unknown,
  key: string,
  expected: number,
): { readonly id: string; readonly complete: boolean } {
  const identity: unknown = JSON.parse(String(text));
  if (typeof identity !== 'object' || identity === null) throw new StoreUnavailable(`${key} in Redis is damaged`);
  const { id, format, shards, complete } = identity as Readonly<Record<string, unknown>>;
  if (format !== FORMAT || shards !== expected) {
    throw new StoreUnavailable(
      `this Redis holds a store of format ${format} with ${shards} shards, not ${FORMAT}/${expected}`,
    );
  }
  if (typeof id !== 'string') throw new StoreUnavailable(`${key} in Redis is damaged`);
  return { id, complete: complete !== false };
}
