import { StoreUnavailable } from '@latchkey/store';
import type { Caller } from './session.ts';

/** How long a write waits for the replicas: with the write itself it stays under the deadline of a reply. */
const REPLICATION_DEADLINE_MS = 500;

/**
 * Waits until replicas have what was written on one connection. One WAIT is under way at a time, because it holds up the
 * connection, heartbeats included; writes that come meanwhile share the next one.
 */
export class Replication {
  readonly #caller: Caller;
  readonly #replicas: number;
  #flying: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** `replicas`: how many must have a write; 0 waits for none. */
  constructor(caller: Caller, replicas: number) {
    this.#caller = caller;
    this.#replicas = replicas;
  }

  /**
   * Resolves when the replicas have all that the server had written when it took the connection's last command, whoever
   * wrote it. Rejects with a StoreUnavailable when too few have.
   */
  confirm(): Promise<void> {
    if (this.#replicas === 0) return Promise.resolve();
    this.#next ??= this.#after(this.#flying);
    return this.#next;
  }

  /** Runs a write and confirms it, both sent at once. */
  async confirmed<T>(write: Promise<T>): Promise<T> {
    const [written, confirmed] = await Promise.allSettled([write, this.confirm()]);
    if (written.status === 'rejected') throw written.reason;
    if (confirmed.status === 'rejected') throw confirmed.reason;
    return written.value;
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
    const count = await this.#counted();
    if (count >= this.#replicas) return;
    throw new StoreUnavailable(
      `${count} of ${this.#replicas} Redis replicas took the write in time: it may or may not survive`,
    );
  }

  async #counted(): Promise<number> {
    try {
      return Number(await this.#caller.call(['WAIT', String(this.#replicas), String(REPLICATION_DEADLINE_MS)]));
    } catch (error) {
      // No ConnectionLost: what was written stays written, whatever became of the WAIT.
      throw new StoreUnavailable(`the write may or may not survive: ${error instanceof Error ? error.message : error}`);
    }
  }
}
