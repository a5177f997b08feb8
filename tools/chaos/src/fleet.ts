import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Proxies } from './proxies.ts';
import { Replica } from './replica.ts';
import type { StoreServers } from './servers.ts';

/** Replicas over one store, each behind a proxy of its own. */
export type Fleet = {
  readonly servers: StoreServers;
  readonly proxies: Proxies;
  readonly replicas: readonly Replica[];
  readonly stop: () => Promise<void>;
};

/** What a fleet is made of. */
export type FleetOptions = {
  /** The source tree that the replicas run from. */
  readonly tree: string;
  readonly replicas: number;
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
    const proxies = await Proxies.open(servers.ports, options.replicas);
    endings.push(() => proxies.close());
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
      replicas[index] = await Replica.start(
        { tree: options.tree, storeUrl, directory: dataDir(index), ...files },
        token,
      );
    };
    const [first = [], ...others] = proxies.ports;
    await start(first, 0);
    await Promise.all(others.map((ports, at) => start(ports, at + 1)));
    return { servers, proxies, replicas, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
