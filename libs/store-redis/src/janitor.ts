import { randomUUID } from 'node:crypto';
import type { Clock } from '@latchkey/kernel';
import { callEvict, callSuspect } from './functions.ts';
import type { ShardKeys } from './keys.ts';
import { WAIT_MS } from './lease.ts';
import type { Session } from './session.ts';

/** How much longer than WAIT_MS a suspect is given: timers fire early by up to a millisecond. */
const MARGIN = 1.02;

/** What the janitor of a shard works with. */
export type JanitorOptions = {
  readonly keys: ShardKeys;
  readonly clock: Clock;
  /** The connection to the shard's server, if one is ready. */
  readonly session: () => Session | undefined;
  /** So many were taken out. */
  readonly evicted: (count: number) => void;
};

/**
 * Takes members out that died without leaving, so that they make writes wait for about two seconds and then no more.
 * In two steps: a mark, and a full wait later the eviction of those whose heartbeats did not wipe the mark.
 */
export class Janitor {
  readonly #options: JanitorOptions;
  #position = 0;
  #running = false;
  #closed = false;

  constructor(options: JanitorOptions) {
    this.#options = options;
  }

  /** A write at this position was not reported by all members in time. */
  look(position: number): void {
    this.#position = Math.max(this.#position, position);
    if (this.#running || this.#closed) return;
    this.#running = true;
    this.#sweep()
      .catch(() => undefined) // Redis went away: the next write that has to wait looks again
      .finally(() => {
        this.#running = false;
      });
  }

  /** Looks no more. */
  close(): void {
    this.#closed = true;
  }

  async #sweep(): Promise<void> {
    const { keys, evicted } = this.#options;
    const session = this.#options.session();
    if (session === undefined) return;
    const token = randomUUID();
    const behind = await callSuspect(session, keys, this.#position, token);
    if (behind.length === 0) return;
    await this.#waitOut(WAIT_MS * MARGIN);
    // On a new connection Redis may have forgotten the marks; a mark that is there was there all the time.
    if (this.#options.session() !== session || this.#closed) return;
    evicted(await callEvict(session, keys, token, behind));
  }

  async #waitOut(waitMs: number): Promise<void> {
    const { clock } = this.#options;
    const endMs = clock.monotonic() + waitMs;
    for (let leftMs = waitMs; leftMs > 0; leftMs = endMs - clock.monotonic()) {
      await new Promise((resolve) => setTimeout(resolve, Math.ceil(leftMs)));
    }
  }
}
