import type { Clock, Random } from '@latchkey/kernel';
import { StoreUnavailable } from '@latchkey/store';
import { addressText, type RedisAddress } from './address.ts';
import { loadFunctions } from './functions.ts';
import { type Expectation, greet, runIdOf, type Server, warn } from './greeting.ts';
import { Heart } from './heart.ts';
import { recognise } from './identity.ts';
import { channelOf } from './keys.ts';
import { WAIT_MS } from './lease.ts';
import { type Ending, Link, type Log } from './link.ts';
import { Replication } from './replication.ts';
import { openSession, type Session } from './session.ts';
import type { Shard } from './shard.ts';

/** What all nodes of a store share. */
export type Surroundings = Expectation & {
  readonly storeId: string;
  /** How many shards the store has. */
  readonly shardCount: number;
  /** This process, for the list of members. */
  readonly replica: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
};

/** One server that takes writes, and the shards it has. */
export type NodeOptions = {
  /** For log and errors. */
  readonly where: string;
  /** Where the server is now; asked at each attempt to connect. */
  readonly locate: () => Promise<RedisAddress>;
  readonly shards: readonly Shard[];
  /** How many replicas must have a write, as of now. */
  readonly required: () => number;
  /** A server has been met that so many replicas follow. */
  readonly met?: (attached: number) => void;
  /** A connection has ended, or was not made. */
  readonly failed?: () => void;
};

/** Two connections to one and the same process: they begin and end together. */
export type Connection = Ending & {
  /** Carries writes, heartbeats and what is pushed. */
  readonly control: Session;
  /** Carries reads, which so neither wait for slow writes nor ever see another server than the heartbeats do. */
  readonly reading: Session;
  /** Confirms what was written on `control`. */
  readonly replication: Replication;
};

/** Once closed, a connection that is still being made must not touch the shards: they belong to another node. */
type Life = { closed: boolean };

/** Keeps a connection to a server for some shards. */
export class Node {
  readonly #link: Link<Connection>;
  readonly #life: Life;

  private constructor(link: Link<Connection>, life: Life) {
    this.#link = link;
    this.#life = life;
  }

  /** Connects once. Rejects with a StoreUnavailable when that fails. */
  static async open(options: NodeOptions, around: Surroundings): Promise<Node> {
    const life = { closed: false };
    const node = new Node(await Link.open(linkOptions(options, around, life)), life);
    for (const shard of options.shards) shard.attach(node);
    return node;
  }

  /** Connects in the background. */
  static start(options: NodeOptions, around: Surroundings): Node {
    const life = { closed: false };
    const node = new Node(Link.start(linkOptions(options, around, life)), life);
    for (const shard of options.shards) shard.attach(node);
    return node;
  }

  get current(): Connection | undefined {
    return this.#link.current;
  }

  next(deadlineMs?: number): Promise<Connection> {
    return this.#link.next(deadlineMs);
  }

  close(reason?: string): void {
    this.#life.closed = true;
    this.#link.close(reason);
  }
}

function linkOptions(options: NodeOptions, around: Surroundings, life: Life) {
  const { where, failed } = options;
  const { clock, random, log } = around;
  const connect = () => connected(options, around, life);
  return { where, clock, random, log, connect, ...(failed === undefined ? {} : { failed }) };
}

async function connected(options: NodeOptions, around: Surroundings, life: Life): Promise<Connection> {
  const address = await options.locate();
  const control = await openSession(address);
  try {
    const server = await greet(control, around);
    warn(addressText(address), server, around.log);
    options.met?.(server.attached);
    await prepare(control, options.shards, around);
    const reading = await openReading(address, control, server);
    await followed(control, { server, shards: options.shards, around, life });
    return {
      control,
      reading,
      replication: new Replication(control, options.required),
      ended: control.ended,
      end: (reason) => control.end(reason),
    };
  } catch (error) {
    control.end('not prepared');
    throw error;
  }
}

async function prepare(control: Session, shards: readonly Shard[], around: Surroundings): Promise<void> {
  const { storeId, shardCount } = around;
  for (const { keys } of shards) await recognise(control, { shard: keys, shards: shardCount, storeId });
  await loadFunctions(control, 'KEEP');
}

/**
 * The second connection must lead to the same process: a read from a server that was replaced, under a lease from the
 * one that replaced it, would be stale.
 */
async function openReading(address: RedisAddress, control: Session, { runId }: Server): Promise<Session> {
  const reading = await openSession(address);
  void control.ended.then((reason) => reading.end(reason));
  void reading.ended.then((reason) => control.end(reason));
  if ((await runIdOf(reading)) !== runId) {
    throw new StoreUnavailable(`Redis at ${addressText(address)}: two connections lead to two different servers`);
  }
  return reading;
}

async function followed(control: Session, { server, shards, around, life }: FollowOptions): Promise<void> {
  const { clock, log, replica, storeId } = around;
  const leave = () => new StoreUnavailable('the shards have moved');
  if (life.closed) throw leave();
  await Promise.all(shards.map(({ feed, keys }) => feed.follow(control, channelOf(keys, storeId))));
  const replaced = server.fenceMs > 0 && shards.some(({ servedBy }) => servedBy !== server.runId);
  const settlesFromMs = replaced ? clock.monotonic() + server.fenceMs + WAIT_MS : 0;
  const leases = shards.map(({ lease }) => lease);
  if (life.closed) throw leave();
  await Heart.start({ session: control, leases, replica, clock, log }, settlesFromMs);
  for (const shard of shards) shard.servedBy = server.runId;
}

type FollowOptions = {
  readonly server: Server;
  readonly shards: readonly Shard[];
  readonly around: Surroundings;
  readonly life: Readonly<Life>;
};
