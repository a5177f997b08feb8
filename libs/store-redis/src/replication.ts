import { StoreUnavailable } from '@latchkey/store';
import type { ShardKeys } from './keys.ts';
import type { Caller } from './session.ts';

/**
 * How long a write waits for the replicas. A WAIT holds up its connection: two of them and a heartbeat between still fit into
 * a lease.
 */
const REPLICATION_DEADLINE_MS = 300;

/** How many replicas must have a write where others can take over, whatever is known of them. */
export const LEAST_REPLICAS = 1;

/** How many must have it: as many as were given, else all that could take over: then whichever does has it. */
export function requiredOf(given: number | undefined, followers: number): number {
  return given ?? Math.max(LEAST_REPLICAS, followers);
}

/**
 * Waits until replicas have what was written on one connection. One WAIT is under way at a time, because it holds up the
 * connection, heartbeats included; writes that come meanwhile share the next one.
 */
export class Replication {
  readonly #caller: Caller;
  readonly #required: () => number;
  /** Positions up to which the replicas have a log, by shard. */
  readonly #confirmed = new Map<number, number>();
  #flying: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** `required`: how many must have a write, as of now; 0 waits for none. */
  constructor(caller: Caller, required: () => number) {
    this.#caller = caller;
    this.#required = required;
  }

  /** Runs a write and waits until the replicas have it, both sent at once. Rejects with a StoreUnavailable when too few have. */
  async confirmed<T>(write: Promise<T>): Promise<T> {
    const [written, confirmed] = await Promise.allSettled([write, this.confirm()]);
    if (written.status === 'rejected') throw written.reason;
    if (confirmed.status === 'rejected') throw confirmed.reason;
    return written.value;
  }

  /** As `confirmed`, of a write to a shard's log; `positionOf` tells from the reply how far the log goes then. */
  async confirmedLog<T>(keys: ShardKeys, write: Promise<T>, positionOf: (reply: T) => number): Promise<T> {
    const reply = await this.confirmed(write);
    this.#note(keys, positionOf(reply));
    return reply;
  }

  /**
   * Waits until the replicas have a shard's log up to a position, whoever wrote it: WAIT speaks of the writes of its own
   * connection, so a write of its own goes before. False: nothing had to be asked.
   */
  async confirmUpTo(keys: ShardKeys, position: number): Promise<boolean> {
    if (this.#required() === 0 || position <= (this.#confirmed.get(keys.shard) ?? 0)) return false;
    await this.confirmed(this.#caller.call(['SET', keys.confirmed, String(position)]));
    this.#note(keys, position);
    return true;
  }

  /**
   * Resolves when the replicas have all that this connection has written. Rejects with a StoreUnavailable when too few
   * have.
   */
  confirm(): Promise<void> {
    if (this.#required() === 0) return Promise.resolve();
    this.#next ??= this.#after(this.#flying);
    return this.#next;
  }

  #note({ shard }: ShardKeys, position: number): void {
    this.#confirmed.set(shard, Math.max(position, this.#confirmed.get(shard) ?? 0));
  }

  async #after(before: Promise<void> | undefined): Promise<void> {
    await before?.catch(() => undefined); // told to those who waited for it
    // The writes of one turn share a WAIT.
    await new Promise((resolve) => setImmediate(resolve));
    this.#flying = this.#wait();
    this.#next = undefined;
    return this.#flying;
  }

  async #wait(): Promise<void> {
    const before = this.#required();
    const count = await this.#counted(before);
    // More replicas may be known by now.
    const required = Math.max(before, this.#required());
    if (count >= required) return;
    throw new StoreUnavailable(
      `${count} of ${required} Redis replicas took the write in time: it may or may not survive`,
    );
  }

  async #counted(required: number): Promise<number> {
    try {
      return Number(await this.#caller.call(['WAIT', String(required), String(REPLICATION_DEADLINE_MS)]));
    } catch (error) {
      // No ConnectionLost: what was written stays written, whatever became of the WAIT.
      throw new StoreUnavailable(`the write may or may not survive: ${error instanceof Error ? error.message : error}`);
    }
  }
}
