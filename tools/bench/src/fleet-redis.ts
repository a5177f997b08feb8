import { setTimeout as pause } from 'node:timers/promises';
import { type DeviceId, systemClock, systemRandom } from '@latchkey/kernel';
import { checkKeys, type Keyring, type Store } from '@latchkey/store';
import { openRedisStore } from '@latchkey/store-redis';
import { entryText, layoutOf, recordKey, type ShardKeys, startRedisServer } from '@latchkey/store-redis/testing';
import { deviceIdOf } from './devices.ts';
import type { Load, PackedDevice, Range } from './fleet-records.ts';
import type { Processes } from './processes.ts';
import { connectRedis, type RedisClient } from './redis-client.ts';

/** What the log keeps of a fleet's creation: about as much as the store's own writes leave there. */
const LOG_ENTRIES = 100_000;

/** Entries that are under way at a time. */
const SLICE = 1_000;

const NONCE_BYTES = 9;

/** The largest fleet and its indexes, twice over; Redis refuses writes before the machine has no memory left. */
const MAX_MEMORY = '10gb';

/** How long the append-only file of the largest fleet may take. */
const REWRITE_DEADLINE_MS = 180_000;
const LOOK_MS = 50;

/** The keys of the only log of a single server. */
const SHARD = layoutOf(1)[0] as ShardKeys;

/** Where the log lies. */
export const LOG_KEY = SHARD.log;

/** A Redis with a store in it that grows by bulk loads. */
export type RedisFleet = {
  readonly url: string;
  /** A client of its own, to look at the server. */
  readonly client: RedisClient;
  /** Opens the store as the auth service does. */
  readonly open: () => Promise<Store>;
  /** Begins a load, while nothing is written to the disk. No store may be open. */
  readonly begin: () => Promise<Load>;
  /** Has the server write every change to the disk, as the store demands. */
  readonly persist: () => Promise<void>;
};

/** Starts a Redis that ends with the run, and makes an empty store in it under these keys. */
export async function startRedisFleet(processes: Processes, keyring: Keyring): Promise<RedisFleet> {
  const server = await startRedisServer({ args: ['--appendonly', 'no', '--maxmemory', MAX_MEMORY] });
  processes.add(server.stop);
  const client = await connectRedis(server.url);
  processes.add(async () => client.close());
  const open = async () => {
    const store = await openRedisStore({ url: server.url, keyring, clock: systemClock, random: systemRandom });
    processes.add(store.close); // a suite that fails leaves it open
    return store;
  };
  const made = await open();
  await checkKeys(made, keyring);
  await made.close();
  const begin = async () => {
    await client.call(['CONFIG', 'SET', 'appendonly', 'no']);
    return {
      put: (devices: readonly PackedDevice[]) => setRecords(client, devices),
      finish: (range: Range) => setRows(client, range),
    };
  };
  return { url: server.url, client, open, begin, persist: () => persist(client) };
}

/** Where a device's record lies. */
export function keyOf(deviceId: DeviceId): string {
  return recordKey(SHARD, deviceId);
}

async function setRecords(client: RedisClient, devices: readonly PackedDevice[]): Promise<void> {
  const args = devices.flatMap(({ deviceId, record }) => [keyOf(deviceId), Buffer.from(record)]);
  await client.call(['MSET', ...args]);
}

/** As if each device had been created by a write of its own, its position its index and one, and the log trimmed since. */
async function setRows(client: RedisClient, { from, to }: Range): Promise<void> {
  const { ids, log } = SHARD;
  for (const slice of slicesOf({ from, to })) {
    await client.call(['ZADD', ids, ...slice.flatMap((index) => ['0', deviceIdOf(index)])]);
  }
  await client.call(['XTRIM', log, 'MAXLEN', '0']);
  for (const slice of slicesOf({ from: Math.max(from, to - LOG_ENTRIES), to })) {
    await Promise.all(slice.map((index) => client.call(['XADD', log, `0-${index + 1}`, 'e', created(index)])));
  }
}

function created(index: number): string {
  const nonce = Buffer.from(systemRandom(NONCE_BYTES)).toString('base64url');
  return entryText({ nonce, kind: 'CREATED', effect: { close: 'NONE' }, key: deviceIdOf(index) });
}

function* slicesOf({ from, to }: Range): Generator<readonly number[]> {
  for (let first = from; first < to; first += SLICE) {
    yield Array.from({ length: Math.min(SLICE, to - first) }, (_, offset) => first + offset);
  }
}

async function persist(client: RedisClient): Promise<void> {
  await client.call(['CONFIG', 'SET', 'appendfsync', 'always']);
  await client.call(['CONFIG', 'SET', 'appendonly', 'yes']);
  for (let waitedMs = 0; waitedMs < REWRITE_DEADLINE_MS; waitedMs += LOOK_MS) {
    const [running, planned] = [
      await client.info('aof_rewrite_in_progress'),
      await client.info('aof_rewrite_scheduled'),
    ];
    if (running + planned === 0) return;
    await pause(LOOK_MS);
  }
  throw new Error('Redis does not come to the end of its append-only file');
}
