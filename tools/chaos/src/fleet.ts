import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Gateway } from './gateway.ts';
import { Proxies } from './proxies.ts';
import { Replica } from './replica.ts';
import type { StoreServers } from './servers.ts';

/** Replicas over one store, each behind a proxy of its own, and gateways, with a proxy before the replicas of each. */
export type Fleet = {
  readonly servers: StoreServers;
  /** Between the replicas and their store. */
  readonly proxies: Proxies;
  readonly replicas: readonly Replica[];
  /** Between the gateways and their replicas. */
  readonly links: Proxies;
  readonly gateways: readonly Gateway[];
  readonly stop: () => Promise<void>;
};

/** What a fleet is made of. */
export type FleetOptions = {
  /** The source tree that the replicas run from. */
  readonly tree: string;
  readonly replicas: number;
  readonly gateways: number;
  readonly startServers: () => Promise<StoreServers>;
};

/** The repository that this tool belongs to. */
export const TREE = join(import.meta.dirname, '../../..');

/** Starts Redis, the proxies and the replicas; what was started ends again when one of them does not come up. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const directory = mkdtempSync(join(tmpdir(), 'latchkey-chaos-'));
  const endings: (() => Promise<void>)[] = [async () => rmSync(directory, { recursive: true, force: true })];
  const stop = async () => {
    for (const end of endings.splice(0).reverse()) await end();
  };
  try {
    const servers = await options.startServers();
    endings.push(servers.stop);
    const proxies = await Proxies.open(Array.from({ length: options.replicas }, () => servers.ports));
    endings.push(() => proxies.close());
    const told = Array.from({ length: options.gateways }, (_, gateway) => toldOf(gateway, options.replicas));
    // Nothing listens on these ports: the targets come up later, and anew each time that a replica is started.
    const links = await Proxies.open(told.map((own) => own.map((_, at) => at + 1)));
    endings.push(() => links.close());
    const aim = async (replica: number, port: number) => {
      for (const [gateway, own] of told.entries()) {
        if (own.includes(replica)) await links.aim(gateway, own.indexOf(replica), port);
      }
    };
    const replicas = await startReplicas({ ...options, directory, servers, proxies, aim, endings });
    const gateways: Gateway[] = [];
    endings.push(async () => {
      await Promise.all(gateways.map((gateway) => gateway.stop()));
    });
    for (const [index, authPorts] of links.ports.entries()) {
      const logFile = join(directory, `gateway-${index}.log`);
      gateways[index] = await Gateway.start({ tree: options.tree, authPorts, logFile });
    }
    return { servers, proxies, replicas, links, gateways, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The replicas that a gateway is told of: one has a replica to itself, the next one goes from any to any other. */
export function toldOf(gateway: number, replicas: number): readonly number[] {
  const all = Array.from({ length: replicas }, (_, at) => (gateway + at) % replicas);
  return gateway % 2 === 0 ? all.slice(0, 1) : all;
}

async function startReplicas(options: {
  readonly tree: string;
  readonly directory: string;
  readonly servers: StoreServers;
  readonly proxies: Proxies;
  readonly aim: (replica: number, port: number) => Promise<void>;
  readonly endings: (() => Promise<void>)[];
}): Promise<readonly Replica[]> {
  const { tree, directory, servers, proxies, aim, endings } = options;
  const replicas: Replica[] = [];
  endings.push(async () => {
    await Promise.all(replicas.map((replica) => replica.stop()));
  });
  const dataDir = (index: number) => join(directory, `replica-${index}`);
  // The first one makes the operators' token, the sealing key before it; the others find both.
  const token = () => readFileSync(join(dataDir(0), 'operator.token'), 'utf8').trim();
  const start = async (ports: readonly number[], index: number) => {
    const storeUrl = servers.url(ports);
    mkdirSync(dataDir(index), { mode: 0o700 });
    const files = { keyFile: join(directory, 'sealing.key'), logFile: join(directory, `replica-${index}.log`) };
    const listening = (port: number) => aim(index, port);
    replicas[index] = await Replica.start({ tree, storeUrl, directory: dataDir(index), ...files, token, listening });
  };
  const [first = [], ...others] = proxies.ports;
  await start(first, 0);
  await Promise.all(others.map((ports, at) => start(ports, at + 1)));
  return replicas;
}
