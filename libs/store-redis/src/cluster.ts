import { StoreUnavailable } from '@latchkey/store';
import { addressText, type RedisAddress } from './address.ts';
import { Followers } from './followers.ts';
import { Node, type Surroundings } from './node.ts';
import { requiredOf } from './replication.ts';
import { type Caller, openSession, REPLY_DEADLINE_MS, type Reply } from './session.ts';
import type { Shard } from './shard.ts';

/** Pause between looks at who has which slots: a server that gives slots away says so at the next command anyway. */
const LOOK_MS = 1_000;

/** Shortest pause between looks after connections have failed. */
const LOOK_GAP_MS = 100;

/** Where a primary is, and how many replicas it has that could take over. */
export type Placement = { readonly address: RedisAddress; readonly replicas: number };

/** The primary of each shard, by shard number; a shard without one is not served. */
export type View = readonly (Placement | undefined)[];

type SlotRange = {
  readonly from: number;
  readonly to: number;
  readonly host: string;
  readonly port: number;
  readonly replicas: number;
};

/** A row names the primary and then those of its replicas that have not failed. */
function rangeOf(row: unknown): SlotRange | undefined {
  if (!Array.isArray(row) || !Array.isArray(row[2])) return undefined;
  const [from, to, [host, port], ...replicas] = row;
  return {
    from: Number(from),
    to: Number(to),
    host: String(host ?? ''),
    port: Number(port),
    replicas: replicas.length,
  };
}

/** Reads CLUSTER SLOTS as `asked` answered it; a node that does not know its own host is where it was asked. */
export function viewOf(reply: Reply, slots: readonly number[], asked: RedisAddress): View {
  const ranges = Array.isArray(reply) ? reply.map(rangeOf) : [];
  return slots.map((slot) => {
    const range = ranges.find((one) => one !== undefined && one.from <= slot && slot <= one.to);
    if (range === undefined) return undefined;
    const { host, port, replicas } = range;
    return { address: { ...asked, host: host === '' ? asked.host : host, port }, replicas };
  });
}

/**
 * How the Cluster looks from one node. Rejects with a StoreUnavailable when the node itself says that it does not work:
 * one that is cut off from the others still shows itself as the primary that it was.
 */
async function look(caller: Caller, slots: readonly number[], asked: RedisAddress): Promise<View> {
  const [info, reply] = await Promise.all([caller.call(['CLUSTER', 'INFO']), caller.call(['CLUSTER', 'SLOTS'])]);
  if (!String(info).includes('cluster_state:ok')) {
    throw new StoreUnavailable(`Redis at ${addressText(asked)}: the Cluster is down`);
  }
  return viewOf(reply, slots, asked);
}

/** The Cluster as the first of the addresses shows it that can. Rejects with a StoreUnavailable. */
export async function discover(addresses: readonly RedisAddress[], slots: readonly number[]): Promise<View> {
  const reasons: string[] = [];
  for (const address of addresses) {
    try {
      const session = await openSession(address, REPLY_DEADLINE_MS);
      try {
        return await look(session, slots, address);
      } finally {
        session.end('asked');
      }
    } catch (error) {
      reasons.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new StoreUnavailable(`no node of the Redis Cluster shows the others: ${reasons.join('; ')}`);
}

/** Shards that lie on one primary. */
type Group = Placement & { readonly shards: readonly Shard[] };

type Member = {
  readonly address: RedisAddress;
  readonly shards: readonly Shard[];
  readonly followers: Followers;
  readonly node: Node;
};

/** What a cluster router needs. */
export type ClusterOptions = {
  readonly seeds: readonly RedisAddress[];
  readonly shards: readonly Shard[];
  readonly around: Surroundings;
};

/**
 * Keeps one connection to each primary, for the shards it has. When shards move, by failover or by an operator, the
 * connections of the servers concerned begin anew with the shards that they have then.
 */
export class Cluster {
  readonly #options: ClusterOptions;
  readonly #members = new Map<string, Member>();
  /** Where one can ask, the answer of last time first. */
  #addresses: readonly RedisAddress[];
  #timer: NodeJS.Timeout | undefined;
  #looking = false;
  #turn = 0;
  #closed = false;

  private constructor(options: ClusterOptions) {
    this.#options = options;
    this.#addresses = options.seeds;
  }

  /** Connects to all primaries of the view once. Rejects with a StoreUnavailable when one cannot be used. */
  static async open(options: ClusterOptions, view: View): Promise<Cluster> {
    const cluster = new Cluster(options);
    const groups = cluster.#groups(view);
    const opened = await Promise.allSettled(
      [...groups].map(async ([key, group]) => {
        const followers = new Followers();
        followers.note(group.replicas);
        const node = await Node.open(cluster.#nodeOptions(group, followers), options.around);
        cluster.#members.set(key, { ...group, followers, node });
      }),
    );
    const failed = opened.find((one) => one.status === 'rejected');
    if (failed !== undefined) {
      cluster.close();
      throw failed.reason;
    }
    cluster.#remember(view);
    cluster.#plan(LOOK_MS);
    return cluster;
  }

  /** Ends all connections. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const { node } of this.#members.values()) node.close();
  }

  #nodeOptions({ address, shards }: Group, followers: Followers) {
    const failed = () => this.#plan(LOOK_GAP_MS);
    const required = () => requiredOf(this.#options.around.replicas, followers.count);
    return { where: `Redis at ${addressText(address)}`, locate: async () => address, shards, required, failed };
  }

  /** Looks after this time, or sooner if that was planned. */
  #plan(afterMs: number): void {
    if (this.#closed || this.#looking || (this.#timer !== undefined && afterMs >= LOOK_MS)) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), afterMs);
  }

  async #look(): Promise<void> {
    this.#timer = undefined;
    this.#looking = true;
    const view = await this.#ask().catch(() => undefined); // nobody can tell: all stays as it is
    this.#looking = false;
    if (this.#closed) return;
    if (view !== undefined) this.#apply(view);
    this.#plan(LOOK_MS);
  }

  /** Another node each time: one may be wrong. */
  #ask(): Promise<View> {
    const slots = this.#options.shards.map(({ keys }) => keys.slot);
    this.#turn += 1;
    const ready = [...this.#members.values()].filter(({ node }) => node.current !== undefined);
    const member = ready[this.#turn % Math.max(1, ready.length)];
    const session = member?.node.current?.control;
    const first = this.#turn % this.#addresses.length;
    const others = () => discover([...this.#addresses.slice(first), ...this.#addresses.slice(0, first)], slots);
    return member === undefined || session === undefined
      ? others()
      : look(session, slots, member.address).catch(others);
  }

  #apply(view: View): void {
    const groups = this.#groups(view);
    for (const [key, member] of this.#members) {
      const group = groups.get(key);
      if (group !== undefined && sameShards(member.shards, group.shards)) {
        member.followers.note(group.replicas);
        continue;
      }
      this.#members.delete(key);
      for (const shard of member.shards) shard.attach(undefined, 'it is moving to another server');
      member.node.close('its shards have moved');
    }
    for (const [key, group] of groups) {
      if (this.#members.has(key)) continue;
      const followers = new Followers();
      followers.note(group.replicas);
      const node = Node.start(this.#nodeOptions(group, followers), this.#options.around);
      this.#members.set(key, { ...group, followers, node });
    }
    this.#remember(view);
  }

  #groups(view: View): ReadonlyMap<string, Group> {
    const groups = new Map<string, Placement & { readonly shards: Shard[] }>();
    for (const [index, shard] of this.#options.shards.entries()) {
      const placement = view[index];
      if (placement === undefined) continue;
      const group = groups.get(addressText(placement.address)) ?? { ...placement, shards: [] };
      groups.set(addressText(placement.address), group);
      group.shards.push(shard);
    }
    return groups;
  }

  /** All primaries of the view and all seeds, each once. */
  #remember(view: View): void {
    const known = [...view.flatMap((one) => (one === undefined ? [] : [one.address])), ...this.#options.seeds];
    this.#addresses = [...new Map(known.map((address) => [addressText(address), address])).values()];
  }
}

function sameShards(one: readonly Shard[], other: readonly Shard[]): boolean {
  return one.length === other.length && one.every((shard, index) => shard === other[index]);
}
