import { freePort } from '@latchkey/kernel/testing';
import { command } from './command.ts';
import { SLOTS } from './keys.ts';
import { until, untilReplicated } from './redis-sentinel.ts';
import { type RedisServer, startRedisServer } from './redis-server.ts';

/** How a Cluster is started for tests. */
export type RedisClusterOptions = {
  /** How long a node must be missed before it is replaced, ms; 1000 unless given. */
  readonly nodeTimeoutMs?: number;
  /** More arguments of all nodes. */
  readonly args?: readonly string[];
};

/** A real Redis Cluster of three primaries with a replica each, every node a process of its own. */
export type RedisCluster = {
  readonly url: string;
  readonly nodes: readonly RedisServer[];
  /** The primary that has a slot. */
  readonly primaryOf: (slot: number) => Promise<RedisServer>;
  /** All primaries that work. */
  readonly primaries: () => Promise<readonly RedisServer[]>;
  /** Has a replica take its primary's place, unless forced by a handover in order; answers the new primary. */
  readonly failover: (primary: RedisServer, how?: 'FORCE' | 'TAKEOVER') => Promise<RedisServer>;
  readonly stop: () => Promise<void>;
};

const PRIMARIES = 3;

type Row = {
  readonly id: string;
  readonly port: number;
  readonly flags: string;
  readonly of: string;
  readonly slots: string;
};

function rowsOf(text: string): readonly Row[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [id = '', address = '', flags = '', of = '', , , , , ...slots] = line.split(' ');
      return { id, port: Number(/:(\d+)@/.exec(address)?.[1]), flags, of, slots: slots.join(' ') };
    });
}

async function rowsAt(node: RedisServer): Promise<readonly Row[]> {
  return rowsOf(String(await command(node, 'CLUSTER', 'NODES')));
}

async function startNode(options: RedisClusterOptions) {
  const busPort = await freePort();
  const { nodeTimeoutMs = 1_000, args = [] } = options;
  const cluster = ['--cluster-enabled', 'yes', '--cluster-port', String(busPort)];
  // One part that is down is not to stop the others.
  const settings = ['--cluster-node-timeout', String(nodeTimeoutMs), '--cluster-require-full-coverage', 'no'];
  const replication = ['--repl-diskless-sync-delay', '0', '--cluster-replica-validity-factor', '0'];
  const all = [...cluster, ...settings, ...replication, ...args];
  return { server: await startRedisServer({ appendfsync: 'everysec', args: all }), busPort };
}

async function slotsTo(node: RedisServer, index: number): Promise<void> {
  const from = Math.ceil((index * SLOTS) / PRIMARIES);
  const to = Math.ceil(((index + 1) * SLOTS) / PRIMARIES) - 1;
  await command(node, 'CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1));
  await command(node, 'CLUSTER', 'ADDSLOTSRANGE', String(from), String(to));
}

async function joined(nodes: readonly RedisServer[]): Promise<void> {
  const [primaries, replicas] = [nodes.slice(0, PRIMARIES), nodes.slice(PRIMARIES)];
  const all = async (test: (node: RedisServer) => Promise<boolean>) =>
    (await Promise.all(nodes.map(test))).every(Boolean) ? true : undefined;
  await until('nodes that know each other', () =>
    all(
      async (node) => (await rowsAt(node)).filter(({ flags }) => !flags.includes('handshake')).length === nodes.length,
    ),
  );
  for (const [index, replica] of replicas.entries()) {
    const primary = primaries[index];
    if (primary !== undefined)
      await command(replica, 'CLUSTER', 'REPLICATE', String(await command(primary, 'CLUSTER', 'MYID')));
  }
  for (const primary of primaries) await untilReplicated(primary, 1);
  await until('a Cluster that works', () =>
    all(async (node) => {
      const known = (await rowsAt(node)).filter(({ flags }) => flags.includes('slave')).length === replicas.length;
      return known && String(await command(node, 'CLUSTER', 'INFO')).includes('cluster_state:ok');
    }),
  );
}

/** Starts one, and waits until it works. */
export async function startRedisCluster(options: RedisClusterOptions = {}): Promise<RedisCluster> {
  const started = await Promise.all(Array.from({ length: 2 * PRIMARIES }, () => startNode(options)));
  const nodes = started.map(({ server }) => server);
  const [first] = nodes;
  if (first === undefined) throw new Error('no node');
  for (const [index, node] of nodes.slice(0, PRIMARIES).entries()) await slotsTo(node, index);
  for (const { server, busPort } of started.slice(1)) {
    await command(first, 'CLUSTER', 'MEET', '127.0.0.1', String(server.port), String(busPort));
  }
  await joined(nodes);
  const primaries = async () => {
    const roles = await Promise.all(nodes.map((node) => command(node, 'ROLE').catch(() => undefined)));
    return nodes.filter((_, index) => String(([] as unknown[]).concat(roles[index])[0]) === 'master');
  };
  return {
    url: `redis-cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    nodes,
    primaryOf: (slot) => until(`the primary of slot ${slot}`, () => ownerOf(nodes, slot)),
    primaries,
    failover: (primary, how) => handedOver(nodes, primary, how),
    stop: async () => {
      await Promise.all(nodes.map((node) => node.stop()));
    },
  };
}

/** The node that itself says that the slot is its own. */
async function ownerOf(nodes: readonly RedisServer[], slot: number): Promise<RedisServer | undefined> {
  for (const node of nodes) {
    const rows = await rowsAt(node).catch(() => []);
    const own = rows.find(({ flags }) => flags.includes('myself') && flags.includes('master'));
    const ranges = own?.slots.split(' ').map((range) => range.split('-').map(Number)) ?? [];
    if (ranges.some(([from = -1, to = from]) => from <= slot && slot <= to)) return node;
  }
  return undefined;
}

async function handedOver(nodes: readonly RedisServer[], primary: RedisServer, how?: string): Promise<RedisServer> {
  // A replica can follow before the primary's own table of the nodes says so: that waits for the next gossip.
  const replica = await until(`a replica of port ${primary.port}`, async () => {
    const rows = await rowsAt(primary);
    const own = rows.find(({ flags }) => flags.includes('myself'));
    return nodes.find(({ port }) => rows.some((row) => row.of === own?.id && row.port === port));
  });
  await command(replica, 'CLUSTER', 'FAILOVER', ...(how === undefined ? [] : [how]));
  const isDone = async () => {
    const role = await command(replica, 'ROLE');
    return Array.isArray(role) && String(role[0]) === 'master' ? replica : undefined;
  };
  return until(`a failover to port ${replica.port}`, isDone);
}
