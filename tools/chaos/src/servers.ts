import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import {
  type RedisServer,
  startRedisCluster,
  startRedisSentinel,
  startRedisServer,
} from '@latchkey/store-redis/testing';

/** The Redis that the replicas share, and what can be done to it. */
export type StoreServers = {
  /** The ports that a replica may connect to; its proxy leads to each. */
  readonly ports: readonly number[];
  /** The store's URL for a replica that has these ports instead. */
  readonly url: (ports: readonly number[]) => string;
  /** Stops a primary; the function that comes back lets it go on. */
  readonly freeze: () => Promise<() => void>;
  /** Ends a primary by this signal and starts it again with what lies on the disk. */
  readonly restart: (signal: 'SIGKILL' | 'SIGTERM') => Promise<void>;
  /** Has another server take a primary's place; undefined: there is none. */
  readonly failover: (() => Promise<void>) | undefined;
  /** Sends one command past all proxies to every server; an error, or a server that is away, is nothing to it. */
  readonly command: (line: string) => Promise<void>;
  readonly stop: () => Promise<void>;
};

/** How long Redis may take to reply to a command of the tool; paused clients are not waited for. */
const COMMAND_DEADLINE_MS = 1_000;

/** How long Redis is away in a restart: enough for replicas to notice and to try in vain. */
const AWAY_MS = 300;

/**
 * A primary that no replica follows refuses writes and heartbeats, so that its leases end before another takes over;
 * that takes up to three seconds, and the takeover must come after it.
 */
const FENCE = [
  ...['--min-replicas-to-write', '1', '--min-replicas-max-lag', '2', '--repl-ping-replica-period', '1'],
  ...['--appendfsync', 'always'],
];
const DOWN_AFTER_MS = 5_000;

/** What the replicas may share, by the name of the option. */
export const STORES = { standalone: startStandalone, sentinel: startWithSentinels, cluster: startCluster };

/** One Redis with `appendfsync always`. */
export async function startStandalone(): Promise<StoreServers> {
  const server = await startRedisServer({ appendfsync: 'always' });
  return {
    ports: [server.port],
    url: ([port]) => `redis://127.0.0.1:${port}`,
    ...actsOn([server], async () => server),
    failover: undefined,
    stop: server.stop,
  };
}

async function startWithSentinels(): Promise<StoreServers> {
  const options = { downAfterMs: DOWN_AFTER_MS, args: FENCE };
  const { sentinels, servers, master, failover, forced, stop } = await startRedisSentinel(options);
  const takeover = async () => {
    const old = await master();
    await failover();
    await old.restart();
  };
  return {
    ports: [...sentinels, ...servers].map(({ port }) => port),
    url: (ports) => `redis-sentinel://${hosts(ports.slice(0, sentinels.length))}/latchkey`,
    ...actsOn(servers, master),
    // These servers have no configuration file, so one that was promoted forgets it when it starts again: it may only do
    // so once another is master.
    restart: takeover,
    // The old master works on until it is told.
    failover: async () => {
      await forced();
    },
    stop,
  };
}

async function startCluster(): Promise<StoreServers> {
  const cluster = await startRedisCluster({ nodeTimeoutMs: DOWN_AFTER_MS, args: FENCE });
  const { nodes, primaries, failover, stop } = cluster;
  const ports = nodes.map(({ port }) => port);
  let turn = 0;
  const primary = async () => {
    turn += 1;
    const all = await primaries();
    const one = all[turn % all.length];
    if (one === undefined) throw new Error('the Cluster has no primary');
    return one;
  };
  return {
    ports,
    url: (mine) => `redis-cluster://${hosts(mine)}`,
    ...actsOn(nodes, primary),
    failover: async () => {
      await failover(await primary()).catch(() => undefined); // its replica is behind, or away
    },
    stop,
  };
}

function hosts(ports: readonly number[]): string {
  return ports.map((port) => `127.0.0.1:${port}`).join(',');
}

function actsOn(
  servers: readonly RedisServer[],
  primary: () => Promise<RedisServer>,
): Pick<StoreServers, 'freeze' | 'restart' | 'command'> {
  return {
    freeze: async () => {
      const server = await primary();
      server.signal('SIGSTOP');
      return () => server.signal('SIGCONT');
    },
    restart: async (signal) => {
      const server = await primary();
      server.signal('SIGCONT');
      server.signal(signal);
      await pause(AWAY_MS);
      await server.restart();
    },
    command: async (line) => {
      await Promise.all(servers.map(({ port }) => send(port, line)));
    },
  };
}

async function send(port: number, line: string): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined); // the server is away
  socket.write(`${line}\r\n`);
  await Promise.race([once(socket, 'data').catch(() => undefined), pause(COMMAND_DEADLINE_MS)]);
  socket.destroy();
}
