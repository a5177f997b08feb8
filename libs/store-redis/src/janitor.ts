import { randomUUID } from 'node:crypto';
import type { Clock } from '@latchkey/kernel';
import { callEvict, callSuspect } from './functions.ts';
import { WAIT_MS } from './lease.ts';
import type { Link } from './link.ts';

/** How much longer than WAIT_MS a suspect is given: timers fire early by up to a millisecond. */
const MARGIN = 1.02;

/**
 * Takes members out that died without leaving, so that they make writes wait for about two seconds and then no more.
 * In two steps: a mark, and a full wait later the eviction of those whose heartbeats did not wipe the mark.
 */
export class Janitor {
  readonly #control: Link;
  readonly #clock: Clock;
  readonly #evicted: (count: number) => void;
  #position = 0;
  #running = false;
  #closed = false;

  constructor(control: Link, clock: Clock, evicted: (count: number) => void) {
    this.#control = control;
    this.#clock = clock;
    this.#evicted = evicted;
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
    const session = this.#control.session;
    if (session === undefined) return;
    const token = randomUUID();
    const behind = await callSuspect(session, this.#position, token);
    if (behind.length === 0) return;
    await this.#waitOut(WAIT_MS * MARGIN);
    // On a new connection Redis may have forgotten the marks; a mark that is there was there all the time.
    if (this.#control.session !== session || this.#closed) return;
    this.#evicted(await callEvict(session, token, behind));
  }

  async #waitOut(waitMs: number): Promise<void> {
    const endMs = this.#clock.monotonic() + waitMs;
    for (let leftMs = waitMs; leftMs > 0; leftMs = endMs - this.#clock.monotonic()) {
      await new Promise((resolve) => setTimeout(resolve, Math.ceil(leftMs)));
    }
  }
}
