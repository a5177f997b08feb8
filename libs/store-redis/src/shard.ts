import type { Clock } from '@latchkey/kernel';
import { StoreUnavailable } from '@latchkey/store';
import { ChangeFeed } from './feed.ts';
import { Janitor } from './janitor.ts';
import type { ShardKeys } from './keys.ts';
import { ShardLease } from './lease.ts';
import type { Connection, Node } from './node.ts';
import { Reads } from './reads.ts';
import { type Caller, ConnectionLost, REPLY_DEADLINE_MS } from './session.ts';
import { Waiting } from './waiting.ts';

/** What a shard needs of the server that has it. */
export type Host = Pick<Node, 'current' | 'next'>;

/** One log with its devices: where this process stands in it, and which server has it now. */
export class Shard {
  readonly keys: ShardKeys;
  readonly feed: ChangeFeed;
  readonly lease: ShardLease;
  readonly janitor: Janitor;
  readonly reads: Reads;
  /** Sends to the connection for reads. */
  readonly reading: Caller;
  /** Sends to the connection for writes; nothing is confirmed. */
  readonly writing: Caller;
  /** The process that served it last; another one has replaced it. */
  servedBy: string | undefined;
  readonly #clock: Clock;
  readonly #arrival = new Waiting<Host>();
  #node: Host | undefined;
  #absent = 'no server is known';
  #absentSinceMs: number;

  constructor(keys: ShardKeys, clock: Clock) {
    this.keys = keys;
    this.#clock = clock;
    this.#absentSinceMs = clock.monotonic();
    this.feed = new ChangeFeed(keys);
    const onLaggard = (position: number) => this.janitor.look(position);
    this.lease = new ShardLease({ keys, feed: this.feed, clock, onLaggard });
    const evicted = (count: number) => {
      this.lease.figures.evicted += count;
    };
    this.janitor = new Janitor({ keys, clock, session: () => this.#node?.current?.control, evicted });
    this.reading = {
      call: (args) => this.read(({ reading }) => reading.call(args)),
      callBinary: (args) => this.read(({ reading }) => reading.callBinary(args)),
    };
    this.writing = {
      call: (args) => this.write(({ control }) => control.call(args)),
      callBinary: (args) => this.write(({ control }) => control.callBinary(args)),
    };
    this.reads = new Reads(this.reading);
  }

  /** Belongs to another server from now on; without one for long, calls reject with the reason. */
  attach(node: Host | undefined, reason = this.#absent): void {
    this.#node = node;
    this.#absent = reason;
    if (node === undefined) this.#absentSinceMs = this.#clock.monotonic();
    else this.#arrival.resolve(node);
  }

  /** The connection to its server, if one is ready. */
  get current(): Connection | undefined {
    return this.#node?.current;
  }

  /** Runs a step that changes nothing; when its connection ends, it runs anew on the next one. Rejects with a StoreUnavailable. */
  read<T>(step: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#run(step, () => true);
  }

  /** Runs a step that writes, anew only where the server has refused it as not its own. Rejects with a StoreUnavailable. */
  write<T>(step: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#run(step, ({ mayBeDone }) => !mayBeDone);
  }

  /** Waits until the replicas of Redis have the log up to a position, whoever wrote it. Rejects with a StoreUnavailable. */
  async replicated(position: number): Promise<void> {
    const asked = await this.write(({ replication }) => replication.confirmUpTo(this.keys, position));
    // What is in the log is pushed before the reply: a server that has taken over may not have it.
    if (asked && this.feed.place.position < position) {
      throw new StoreUnavailable(
        `the log of Redis does not reach ${position} any more: the change is lost, or in doubt`,
      );
    }
  }

  /** A step begins anew for as long as a reply may take; so it ends within twice that time. */
  async #run<T>(step: (connection: Connection) => Promise<T>, repeats: (lost: ConnectionLost) => boolean): Promise<T> {
    const endMs = this.#clock.monotonic() + REPLY_DEADLINE_MS;
    for (;;) {
      const connection = await this.#connection(endMs);
      try {
        return await step(connection);
      } catch (error) {
        if (!(error instanceof ConnectionLost && repeats(error)) || this.#clock.monotonic() >= endMs) throw error;
        await connection.ended; // until then it looks ready
      }
    }
  }

  /** The connection to its server, or the next one, also that of the server it moves to. */
  async #connection(endMs: number): Promise<Connection> {
    for (;;) {
      const leftMs = endMs - this.#clock.monotonic();
      const node = this.#node ?? (await this.#arriving(leftMs));
      try {
        return await node.next(endMs - this.#clock.monotonic());
      } catch (error) {
        if (this.#node === node || this.#clock.monotonic() >= endMs) throw error;
      }
    }
  }

  #arriving(leftMs: number): Promise<Host> {
    const goneMs = this.#clock.monotonic() - this.#absentSinceMs;
    const absent = () => new StoreUnavailable(`shard ${this.keys.shard} of Redis: ${this.#absent}`);
    return this.#arrival.wait(Math.min(leftMs, REPLY_DEADLINE_MS - goneMs), absent);
  }
}
