import { setTimeout as pause } from 'node:timers/promises';
import { command } from './command.ts';
import { type RedisServer, startRedisServer, startSentinel } from './redis-server.ts';

/** How a master with sentinels is started for tests. */
export type RedisSentinelOptions = {
  /** How long the sentinels must miss the master, ms; 1000 unless given. */
  readonly downAfterMs?: number;
  /** More arguments of the three servers. */
  readonly args?: readonly string[];
};

/** A real master with two replicas and three sentinels, each in a process of its own. */
export type RedisSentinel = {
  readonly url: string;
  /** The first master, then the replicas. */
  readonly servers: readonly RedisServer[];
  readonly sentinels: readonly RedisServer[];
  /** The master that the sentinels agree on. */
  readonly master: () => Promise<RedisServer>;
  /** Kills the master, and answers the next one once all sentinels name it. The killed one is not started again. */
  readonly failover: () => Promise<RedisServer>;
  /** Has a sentinel replace the master while it works; answers the next one once all sentinels name it. */
  readonly forced: () => Promise<RedisServer>;
  readonly stop: () => Promise<void>;
};

const POLL_MS = 100;
/** 30 s: an election that is tried twice on a busy machine. */
const POLLS = 300;
const SENTINELS = 3;

/** Tries until `look` answers something; throws an Error with what was awaited. */
export async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  for (let attempt = 0; attempt < POLLS; attempt++) {
    const found = await look().catch(() => undefined); // a server that is down
    if (found !== undefined) return found;
    await pause(POLL_MS);
  }
  throw new Error(`${what}: not within ${POLLS * POLL_MS} ms`);
}

/** Waits until so many replicas take the server's writes. */
export async function untilReplicated(server: RedisServer, replicas: number): Promise<void> {
  const online = async () => {
    const info = String(await command(server, 'INFO', 'replication'));
    return info.match(/state=online/g)?.length === replicas ? true : undefined;
  };
  await until(`${replicas} replicas of port ${server.port}`, online);
}

async function namedMaster(sentinels: readonly RedisServer[], servers: readonly RedisServer[]) {
  const replies = await Promise.all(
    sentinels.map((sentinel) => command(sentinel, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'latchkey')),
  );
  const ports = new Set(replies.map((reply) => (Array.isArray(reply) ? Number(reply[1]) : 0)));
  const [port] = ports;
  const master = servers.find((server) => server.port === port);
  if (ports.size !== 1 || master === undefined) return undefined;
  const role = await command(master, 'ROLE');
  return Array.isArray(role) && String(role[0]) === 'master' ? master : undefined;
}

/** Starts them, and waits until replicas and sentinels know each other. */
export async function startRedisSentinel(options: RedisSentinelOptions = {}): Promise<RedisSentinel> {
  const { downAfterMs = 1_000, args = [] } = options;
  const all = ['--repl-diskless-sync-delay', '0', ...args];
  const first = await startRedisServer({ appendfsync: 'everysec', args: all });
  const follow = [...all, '--replicaof', '127.0.0.1', String(first.port)];
  const replicas = [1, 2].map(() => startRedisServer({ appendfsync: 'everysec', args: follow }));
  const servers = [first, ...(await Promise.all(replicas))];
  await untilReplicated(first, 2);
  const sentinels = await Promise.all(Array.from({ length: SENTINELS }, () => startSentinel(first.port, downAfterMs)));
  await Promise.all(sentinels.map((sentinel) => until('sentinels that know each other', () => isComplete(sentinel))));
  const master = () => until('a master', () => namedMaster(sentinels, servers));
  const after = (old: RedisServer) =>
    until('the next master', async () => {
      const named = await namedMaster(sentinels, servers);
      return named === old ? undefined : named;
    });
  return {
    url: `redis-sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/latchkey`,
    servers,
    sentinels,
    master,
    failover: async () => {
      const old = await master();
      await old.kill();
      return after(old);
    },
    forced: async () => {
      const old = await master();
      const [sentinel] = sentinels;
      if (sentinel === undefined) throw new Error('no sentinel');
      // Refused while one sees the replicas as they were before an earlier failover.
      await until('a failover that begins', () => command(sentinel, 'SENTINEL', 'FAILOVER', 'latchkey'));
      return after(old);
    },
    stop: async () => {
      await Promise.all([...sentinels, ...servers].map((server) => server.stop()));
    },
  };
}

async function isComplete(sentinel: RedisServer): Promise<true | undefined> {
  const info = String(await command(sentinel, 'INFO', 'sentinel'));
  return /status=ok.*slaves=2,sentinels=3/.test(info) ? true : undefined;
}
