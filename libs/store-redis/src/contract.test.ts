import type { Keyring, Store } from '@latchkey/store';
import { storeContract } from '@latchkey/store/contract';
import { afterAll, beforeAll } from 'vitest';
import { command, laidDown, onlyShard, openOn } from './fixture.ts';
import { recordKey } from './keys.ts';
import { type RedisServer, startRedisServer } from './redis-server.ts';

let server: RedisServer;
beforeAll(async () => {
  server = await startRedisServer({ appendfsync: 'everysec' });
});
afterAll(() => server.stop());

storeContract('the Redis store', async (keyring) => {
  await command(server, 'FLUSHALL');
  const opened: Store[] = [];
  const open = async (keys: Keyring): Promise<Store> => {
    const store = await openOn(server, keys);
    opened.push(store);
    return store;
  };
  return {
    store: await open(keyring),
    reopen: open,
    dump: () => laidDown(server),
    overwrite: async (deviceId, bytes) => {
      await command(server, 'SET', recordKey(onlyShard(), deviceId), Buffer.from(bytes));
    },
    dispose: async () => {
      for (const store of opened) await store.close();
    },
  };
});
