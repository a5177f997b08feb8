import type { Clock } from '@latchkey/kernel';
import { StoreUnavailable } from '@latchkey/store';
import { ChangeFeed } from './feed.ts';
import { Janitor } from './janitor.ts';
import type { ShardKeys } from './keys.ts';
import { ShardLease } from './lease.ts';
import type { Connection, Node } from './node.ts';
import { Reads } from './reads.ts';
import type { Caller } from './session.ts';

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
  #node: Node | undefined;
  #absent = 'no server is known';

  constructor(keys: ShardKeys, clock: Clock) {
    this.keys = keys;
    this.feed = new ChangeFeed(keys);
    const onLaggard = (position: number) => this.janitor.look(position);
    this.lease = new ShardLease({ keys, feed: this.feed, clock, onLaggard });
    const evicted = (count: number) => {
      this.lease.figures.evicted += count;
    };
    this.janitor = new Janitor({ keys, clock, session: () => this.#node?.current?.control, evicted });
    this.reading = {
      call: async (args) => (await this.connection()).reading.call(args),
      callBinary: async (args) => (await this.connection()).reading.callBinary(args),
    };
    this.writing = {
      call: async (args) => (await this.connection()).control.call(args),
      callBinary: async (args) => (await this.connection()).control.callBinary(args),
    };
    this.reads = new Reads(this.reading);
  }

  /** Belongs to another server from now on; without one, calls reject with the reason. */
  attach(node: Node | undefined, reason = this.#absent): void {
    this.#node = node;
    this.#absent = reason;
  }

  /** The connection to its server, if one is ready. */
  get current(): Connection | undefined {
    return this.#node?.current;
  }

  /** That connection, or the next one if it comes soon. Rejects with a StoreUnavailable. */
  connection(): Promise<Connection> {
    if (this.#node !== undefined) return this.#node.next();
    return Promise.reject(new StoreUnavailable(`shard ${this.keys.shard} of Redis: ${this.#absent}`));
  }
}
