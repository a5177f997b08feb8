import { resolve } from 'node:path';
import { startRedisServer } from '@latchkey/store-redis/testing';
import { AUTH, AUTH_LISTENERS } from './auth-server.ts';
import { type Operator, operatorOf } from './operator.ts';
import type { Processes, Server } from './processes.ts';

const GATEWAY = resolve(import.meta.dirname, '../../../services/mqtt-gateway/src/main.ts');
const GATEWAY_LISTENERS = ['--mqtt', '127.0.0.1:0', '--metrics', '127.0.0.1:0'];

/** A replica that is stopped is worth a warning to all others. */
const QUIET = ['--log-level', 'error'];

/** Auth replicas over one Redis, and a gateway at the last of them. */
export type ResetFleet = {
  readonly redisUrl: string;
  readonly replicas: readonly Server[];
  /** One for each replica. */
  readonly operators: readonly Operator[];
  readonly gateway: Server;
};

/** Starts so many replicas over a Redis that syncs every write to the disk. */
export async function startResetFleet(processes: Processes, replicas: number): Promise<ResetFleet> {
  const redis = await startRedisServer({ appendfsync: 'always' });
  processes.add(redis.stop);
  const [home, keyFile] = [processes.directory(), `${processes.directory()}/sealing.key`];
  const start = (dataDir: string) => {
    const store = ['--store', redis.url, '--data-dir', dataDir, '--key-file', keyFile];
    return processes.start(AUTH, [...store, ...AUTH_LISTENERS, ...QUIET]);
  };
  // The first one makes the sealing key and the operators' token; the others find both.
  const first = await start(home);
  const others = Array.from({ length: replicas - 1 }, () => start(processes.directory()));
  const servers = [first, ...(await Promise.all(others))];
  const operators = servers.map((server) => operatorOf(server, `${home}/operator.token`));
  const auth = servers.at(-1)?.field('grpc') ?? '';
  const gateway = await processes.start(GATEWAY, [...GATEWAY_LISTENERS, ...QUIET, '--auth', auth]);
  return { redisUrl: redis.url, replicas: servers, operators, gateway };
}
