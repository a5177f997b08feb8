import { randomUUID } from 'node:crypto';
import type { Clock, Random } from '@latchkey/kernel';
import { type Keyring, type Lease, PAGE_MAX, type RecordKey, type Store, StoreUnavailable } from '@latchkey/store';
import { parseDeployment } from './address.ts';
import { figuresOf } from './figures.ts';
import { callLeave, callLog } from './functions.ts';
import { Gate } from './gate.ts';
import type { Log } from './link.ts';
import { introduce, kindOf, type Nodes, openNodes } from './nodes.ts';
import {
  endUsesOf,
  forgetValue,
  keepValue,
  keptValue,
  lastUsesOf,
  listRecords,
  type Parts,
  readRecord,
  readReplay,
  readTrust,
  reportUsesOf,
  resealRecords,
  resealTrust,
  rowsOf,
  settle,
  shardAt,
  shardFor,
  writeRecord,
  writeTrust,
} from './operations.ts';
import { overdueIds } from './rows.ts';
import { Shard } from './shard.ts';

/** What the store needs. */
export type RedisStoreOptions = {
  /**
   * `redis://[user:password@]host[:port][/database]`, `redis-sentinel://[user:password@]host[:port],.../master[/database]`
   * or `redis-cluster://[user:password@]host[:port],...`; `rediss` in the place of `redis` for TLS.
   */
  readonly url: string;
  readonly keyring: Keyring;
  readonly clock: Clock;
  readonly random: Random;
  /**
   * Replicas that must have a write before it is acknowledged; unless given, none of a single Redis, and with Sentinel
   * and Cluster all that could take over, at least 1.
   */
  readonly replicas?: number;
  /** Refuse to open when settings of a server put data at risk; otherwise they are only logged. */
  readonly strict?: boolean;
  /** Hears of connections lost and made, and of settings that put data at risk. */
  readonly log?: Log;
};

/**
 * Opens the store in Redis 7.0 or newer: one server, a master known to sentinels, or a Cluster. Rejects with a
 * RedisUrlError, or with a StoreUnavailable while a server is away, refuses the password or cannot serve. Later the store
 * recovers by itself.
 */
export async function openRedisStore(options: RedisStoreOptions): Promise<Store> {
  const { url, keyring, clock, random, strict = false, log = () => {} } = options;
  const deployment = parseDeployment(url);
  const replicas = options.replicas ?? (deployment.kind === 'STANDALONE' ? 0 : undefined);
  const introduced = await introduce({ deployment, replicas, strict, random });
  const { storeId, layout } = introduced;
  const shards = layout.map((keys) => new Shard(keys, clock));
  const replica = randomUUID(); // an earlier life of this replica is another member
  const around = { ...kindOf(deployment), replicas, storeId, shardCount: shards.length, replica, clock, random, log };
  const nodes = await openNodes(introduced, shards, around);
  return storeOf({ storeId, shards, keyring, random, nodes, replica });
}

function bounded(limit: number): number {
  return Math.min(Math.max(1, Math.floor(limit)), PAGE_MAX);
}

type OpenParts = Parts & { readonly nodes: Nodes; readonly replica: string };

function leaseOf(parts: Parts): Lease {
  const concerned = (key: RecordKey | undefined) => (key === undefined ? parts.shards : [shardFor(parts, key)]);
  return {
    holds: (key) =>
      key === undefined ? parts.shards.every(({ lease }) => lease.holds()) : shardFor(parts, key).lease.holds(),
    waitFor: async (deadlineMs, key) => {
      const had = await Promise.all(concerned(key).map(({ lease }) => lease.waitFor(deadlineMs)));
      return had.every(Boolean);
    },
  };
}

function storeOf(parts: OpenParts): Store {
  const { storeId, shards } = parts;
  const gate = new Gate();
  return {
    storeId,
    shards: shards.length,
    lease: leaseOf(parts),
    figures: () => figuresOf(shards),
    read: (deviceId) => gate.run(() => readRecord(parts, deviceId)),
    write: (write) => gate.run(() => writeRecord(parts, write)),
    settled: (key, position) => gate.run(() => settle(parts, key, position)),
    readTrust: (key) => gate.run(() => readTrust(parts, key)),
    writeTrust: (write) => gate.run(() => writeTrust(parts, write)),
    resealTrust: () => gate.run(() => resealTrust(parts)),
    replayed: (deviceId, key) => gate.run(() => readReplay(parts, deviceId, key)),
    list: (query) => gate.run(() => listRecords(parts, { ...query, limit: bounded(query.limit) })),
    overdue: (nowMs, limit) => gate.run(() => overdueIds(rowsOf(parts), nowMs, bounded(limit))),
    log: (shard, after, limit) =>
      gate.run(async () => {
        const { reading, keys } = shardAt(parts, shard);
        return callLog(reading, keys, after, bounded(limit));
      }),
    hears: (shard) => shards[shard]?.lease.holds() ?? false,
    listen: (listener) => {
      const ends = shards.map(({ feed }) => feed.listen(listener));
      return () => {
        for (const end of ends) end();
      };
    },
    reportUses: (report) => gate.run(() => reportUsesOf(parts, report)),
    endUses: (name) => gate.run(() => endUsesOf(parts, name)),
    lastUses: (deviceIds) => gate.run(() => lastUsesOf(parts, deviceIds)),
    keep: (name, value) => gate.run(() => keepValue(parts, name, value)),
    kept: (name) => gate.run(() => keptValue(parts, name)),
    forget: (name) => gate.run(() => forgetValue(parts, name)),
    reseal: (after, limit) => gate.run(() => resealRecords(parts, after, bounded(limit))),
    close: () => gate.close(() => ended(parts)),
  };
}

async function ended({ shards, nodes, replica }: OpenParts): Promise<void> {
  for (const { janitor, lease } of shards) {
    janitor.close();
    lease.leave();
  }
  const left = shards.map(async ({ keys, current }) => {
    if (current === undefined) throw new StoreUnavailable('no connection');
    await callLeave(current.control, keys, replica);
  });
  await Promise.allSettled(left); // where Redis is away, the others wait this replica out
  nodes.close();
}
