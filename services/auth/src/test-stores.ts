import { createLog, type Log } from '@latchkey/runtime';
import { type RedisServer, startRedisServer } from '@latchkey/store-redis/testing';
import { type Config, readConfig } from './config.ts';
import { type Clients, freshDirectory, operatorOf } from './test-process.ts';
import { startAuth } from './wire.ts';

export {
  layoutOf,
  type RedisCluster,
  type RedisServer,
  startRedisCluster,
  startRedisServer,
} from '@latchkey/store-redis/testing';

/** The stores that the service runs on. */
export const STORES = ['embedded', 'redis'] as const;

/** A service in this process, over a store of its own. */
export type Service = {
  readonly clients: Clients;
  readonly dataDir: string;
  readonly grpc: string;
  readonly admin: string;
  readonly redis: RedisServer | undefined;
  readonly config: Config;
  /** All that it has logged, at level debug. */
  readonly logged: () => string;
  readonly stop: () => Promise<void>;
};

/** A log that keeps its lines. */
export function keptLog(): { readonly log: Log; readonly logged: () => string } {
  let text = '';
  const to = {
    write: (line: string) => {
      text += line;
    },
  };
  return { log: createLog({ service: 'auth', level: 'debug', to }), logged: () => text };
}

/** Starts the service in this process on free ports, with these settings besides. */
export async function startService(kind: (typeof STORES)[number], ...settings: readonly string[]): Promise<Service> {
  const directory = await freshDirectory();
  const redis = kind === 'redis' ? await startRedisServer() : undefined;
  const store = redis === undefined ? [] : ['--store', redis.url];
  const ports = ['--grpc', '127.0.0.1:0', '--admin', '127.0.0.1:0'];
  const config = readConfig(['--data-dir', directory.path, ...ports, ...store, ...settings], undefined);
  const { log, logged } = keptLog();
  const running = await startAuth(config, log);
  const { grpc, admin, token } = running.ready as Record<'grpc' | 'admin' | 'token', string>;
  const clients = operatorOf({ grpc, admin, token, dataDir: directory.path });
  return {
    ...{ clients, dataDir: directory.path, grpc, admin, redis, config, logged },
    stop: async () => {
      clients.channel.close();
      await running.stop();
      await redis?.stop();
      await directory.remove();
    },
  };
}
