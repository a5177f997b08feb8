import type { Random } from '@latchkey/kernel';
import { StoreUnavailable } from '@latchkey/store';
import { addressText, type Deployment, type RedisAddress } from './address.ts';
import { Cluster, discover, type View } from './cluster.ts';
import { loadFunctions } from './functions.ts';
import { type Expectation, greet } from './greeting.ts';
import { identify } from './identity.ts';
import { CLUSTER_SHARDS, layoutOf, type ShardKeys } from './keys.ts';
import { Node, type Surroundings } from './node.ts';
import { LEAST_REPLICAS, Replication, requiredOf } from './replication.ts';
import { locateMaster, MasterWatch, type Sentinels } from './sentinel.ts';
import { openSession, type Session } from './session.ts';
import type { Shard } from './shard.ts';

/** What is found out before the store opens. */
export type Introduced = {
  readonly storeId: string;
  readonly layout: readonly ShardKeys[];
  readonly deployment: Deployment;
  /** Where the shards are now. */
  readonly view: View;
};

/** How to meet the servers. */
export type Meeting = {
  readonly deployment: Deployment;
  /** Replicas that must have a write; undefined: all that could take over. */
  readonly replicas: number | undefined;
  /** Refuse servers whose settings put data at risk. */
  readonly strict: boolean;
  readonly random: Random;
};

/** The connections of a store to all its servers. */
export type Nodes = { readonly close: () => void };

/**
 * Meets every server once: looks whether it can serve, loads the functions, and finds or makes the store's identity.
 * Rejects with a StoreUnavailable.
 */
export async function introduce(meeting: Meeting): Promise<Introduced> {
  const { deployment, random, replicas } = meeting;
  const layout = layoutOf(deployment.kind === 'CLUSTER' ? CLUSTER_SHARDS : 1);
  const view = await whereabouts(deployment, layout);
  const sessions = new Map<string, Session>();
  try {
    const callerOf = async ({ shard }: ShardKeys) => {
      const address = view[shard]?.address;
      if (address === undefined) throw new StoreUnavailable(`no server of the Redis Cluster has shard ${shard}`);
      const met = sessions.get(addressText(address)) ?? (await openSession(address));
      if (!sessions.has(addressText(address))) {
        sessions.set(addressText(address), met);
        await meet(met, address, meeting);
      }
      return met;
    };
    const { storeId, made } = await identify({ layout, callerOf, random });
    // At least, not all that could take over: a server without the store's identity is found out.
    const required = () => replicas ?? LEAST_REPLICAS;
    if (made) await Promise.all([...sessions.values()].map((session) => new Replication(session, required).confirm()));
    return { storeId, layout, deployment, view };
  } finally {
    for (const session of sessions.values()) session.end('introduced');
  }
}

async function whereabouts(deployment: Deployment, layout: readonly ShardKeys[]): Promise<View> {
  if (deployment.kind === 'STANDALONE') return [{ address: deployment.address, replicas: 0 }];
  if (deployment.kind === 'SENTINEL') return [{ address: await locateMaster(deployment), replicas: 0 }];
  const slots = layout.map(({ slot }) => slot);
  return discover(deployment.seeds, slots);
}

async function meet(session: Session, address: RedisAddress, meeting: Meeting): Promise<void> {
  const { deployment, replicas, strict } = meeting;
  const { warnings } = await greet(session, { ...kindOf(deployment), replicas });
  if (strict && warnings.length > 0) {
    throw new StoreUnavailable(`Redis at ${addressText(address)} is refused, being strict: ${warnings.join('; ')}`);
  }
  await loadFunctions(session, 'REPLACE');
}

/** What a kind of deployment means for each of its servers. */
export function kindOf({ kind }: Deployment): Omit<Expectation, 'replicas'> {
  return { cluster: kind === 'CLUSTER', takeovers: kind !== 'STANDALONE' };
}

/** Opens the connections that stay. Rejects with a StoreUnavailable when one of the servers cannot be used. */
export function openNodes(introduced: Introduced, shards: readonly Shard[], around: Surroundings): Promise<Nodes> {
  const { deployment, view } = introduced;
  if (deployment.kind === 'CLUSTER') return Cluster.open({ seeds: deployment.seeds, shards, around }, view);
  if (deployment.kind === 'SENTINEL') return openMaster(deployment, shards, around);
  const { address } = deployment;
  const required = () => around.replicas ?? 0;
  const where = `Redis at ${addressText(address)}`;
  return Node.open({ where, locate: async () => address, shards, required }, around);
}

async function openMaster(sentinels: Sentinels, shards: readonly Shard[], around: Surroundings): Promise<Nodes> {
  const watch = new MasterWatch(sentinels);
  const where = `Redis master ${sentinels.masterName}`;
  const required = () => requiredOf(around.replicas, watch.followers);
  const met = (attached: number) => watch.met(attached);
  const node = await Node.open({ where, locate: () => watch.locate(), shards, required, met }, around);
  void watch.watch(node);
  const close = () => {
    watch.close();
    node.close();
  };
  return { close };
}
