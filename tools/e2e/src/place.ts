import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RedisServer, startRedisServer } from '@latchkey/store-redis/testing';

/** The stores that the road is walked over. */
export const STORES = ['embedded', 'redis'] as const;

/** Where one deployment's data lies; systems started on it one after the other find what the last one left. */
export type Place = {
  readonly dataDir: string;
  /** The `--store` option, when there is one. */
  readonly storeArgs: readonly string[];
  /** The Redis that holds the records; undefined: the data directory does. */
  readonly redis: RedisServer | undefined;
  readonly remove: () => Promise<void>;
};

/** An empty place with a store of its own. */
export async function newPlace(store: (typeof STORES)[number] = 'embedded'): Promise<Place> {
  const dir = await mkdtemp(join(tmpdir(), 'latchkey-e2e-'));
  const redis = store === 'redis' ? await startRedisServer() : undefined;
  return {
    dataDir: join(dir, 'data'),
    storeArgs: redis === undefined ? [] : ['--store', redis.url],
    redis,
    remove: async () => {
      await redis?.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Listens on a loopback port: a free one unless given. Rejects when another program has it. */
export function takePort(port = 0): Promise<{ readonly port: number; readonly release: () => Promise<void> }> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      const release = () => new Promise<void>((released) => server.close(() => released()));
      resolve({ port: typeof address === 'object' ? (address?.port ?? 0) : 0, release });
    });
  });
}
