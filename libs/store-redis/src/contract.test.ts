import type { Keyring, Store } from '@latchkey/store';
import { type StoreHarness, storeContract } from '@latchkey/store/contract';
import { afterAll, beforeAll, describe } from 'vitest';
import { command, laidDown, openOn } from './fixture.ts';
import { layoutOf, recordKey, shardOf } from './keys.ts';
import { type RedisCluster, startRedisCluster } from './redis-cluster.ts';
import { type RedisSentinel, startRedisSentinel } from './redis-sentinel.ts';
import { type RedisServer, startRedisServer } from './redis-server.ts';

/** Servers that are empty, and where a record lies among them. */
type Place = {
  readonly url: string;
  readonly servers: () => Promise<readonly RedisServer[]>;
  readonly serverOf: (slot: number) => Promise<RedisServer>;
};

async function harness({ url, servers, serverOf }: Place, keyring: Keyring): Promise<StoreHarness> {
  for (const server of await servers()) await command(server, 'FLUSHALL');
  const opened: Store[] = [];
  const open = async (keys: Keyring): Promise<Store> => {
    const store = await openOn({ url }, keys);
    opened.push(store);
    return store;
  };
  const store = await open(keyring);
  return {
    store,
    reopen: open,
    dump: async () => Buffer.concat(await Promise.all((await servers()).map(laidDown))),
    overwrite: async (key, bytes) => {
      const keys = layoutOf(store.shards)[shardOf(key, store.shards)];
      if (keys === undefined) throw new Error('a device has a shard');
      await command(await serverOf(keys.slot), 'SET', recordKey(keys, key), Buffer.from(bytes));
    },
    dispose: async () => {
      for (const one of opened) await one.close();
    },
  };
}

describe('one server', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedisServer({ appendfsync: 'everysec' });
  });
  afterAll(() => server.stop());
  const place = () => ({ url: server.url, servers: async () => [server], serverOf: async () => server });
  storeContract('the Redis store', (keyring) => harness(place(), keyring));
});

describe('a master with sentinels', () => {
  let sentinel: RedisSentinel;
  beforeAll(async () => {
    sentinel = await startRedisSentinel();
  });
  afterAll(() => sentinel.stop());
  const place = () => ({
    url: sentinel.url,
    servers: async () => [await sentinel.master()],
    serverOf: () => sentinel.master(),
  });
  storeContract('the Redis store', (keyring) => harness(place(), keyring));
});

describe('a Cluster', () => {
  let cluster: RedisCluster;
  beforeAll(async () => {
    cluster = await startRedisCluster();
  });
  afterAll(() => cluster.stop());
  const place = () => ({ url: cluster.url, servers: cluster.primaries, serverOf: cluster.primaryOf });
  storeContract('the Redis store', (keyring) => harness(place(), keyring));
});
