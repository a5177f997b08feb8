import type { Random } from '@latchkey/kernel';
import { Backoff } from './backoff.ts';
import type { Replica } from './replica.ts';

/** Connections to one address at most: as many workers as a service may have. */
const MAX_CONNECTIONS = 64;

/** A new connection that has reached no process which answers by then is given up. */
const CANDIDATE_MS = 5_000;

/** The longest wait between two tries to reach one more process: without it the others do its work. */
const MAX_PAUSE_MS = 10_000;

/** What is open at a connection that is given up is answered by then: longer than a decision may take. */
const GRACE_MS = 5_000;

/** What a spread needs. */
export type SpreadOptions = {
  /** A new connection, which says which process it has reached after each check that was answered. */
  readonly connect: (reached: (replica: Replica) => void) => Replica;
  readonly random: Random;
  readonly monotonic: () => number;
  /** The connections are others now. */
  readonly changed: () => void;
};

/**
 * The connections to one address: one to each of the processes that share it. Which one a new connection reaches is left
 * to chance, so it is asked; one that reaches a process which another connection has is given up, and tried again later.
 */
export class Spread {
  readonly #options: SpreadOptions;
  readonly #replicas: Replica[] = [];
  readonly #leaving = new Map<Replica, NodeJS.Timeout>();
  readonly #backoff: Backoff;
  #candidate: { readonly replica: Replica; readonly deadline: NodeJS.Timeout } | undefined;
  #notBeforeMs = Number.NEGATIVE_INFINITY;

  constructor(options: SpreadOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.random, MAX_PAUSE_MS);
    this.#replicas.push(options.connect((replica) => this.#reached(replica)));
  }

  /** The connections: at least one. */
  get replicas(): readonly Replica[] {
    return this.#replicas;
  }

  /** Ends every connection. */
  close(): void {
    this.#dropCandidate();
    for (const timer of this.#leaving.values()) clearTimeout(timer);
    for (const replica of [...this.#replicas, ...this.#leaving.keys()]) replica.close();
  }

  #reached(replica: Replica): void {
    const twin = this.#replicas.find((other) => other !== replica && other.processId === replica.processId);
    if (replica === this.#candidate?.replica) {
      if (twin === undefined) this.#admit(replica);
      else this.#fail();
    } else if (this.#leaving.has(replica)) return;
    // It was lost, and came to another process than before.
    else if (twin !== undefined && replica.processId !== '') this.#leave(replica);
    else this.#tryOneMore(replica.sharing);
  }

  #tryOneMore(sharing: number): void {
    const { connect, monotonic } = this.#options;
    if (this.#candidate !== undefined || monotonic() < this.#notBeforeMs) return;
    if (this.#replicas.length >= Math.min(sharing, MAX_CONNECTIONS)) return;
    const deadline = setTimeout(() => this.#fail(), CANDIDATE_MS);
    this.#candidate = { replica: connect((replica) => this.#reached(replica)), deadline };
  }

  #admit(replica: Replica): void {
    clearTimeout(this.#candidate?.deadline);
    this.#candidate = undefined;
    this.#backoff.reset();
    this.#replicas.push(replica);
    this.#options.changed();
    this.#tryOneMore(replica.sharing);
  }

  #fail(): void {
    this.#dropCandidate();
    this.#notBeforeMs = this.#options.monotonic() + this.#backoff.nextMs();
  }

  #dropCandidate(): void {
    clearTimeout(this.#candidate?.deadline);
    this.#candidate?.replica.close();
    this.#candidate = undefined;
  }

  #leave(replica: Replica): void {
    this.#replicas.splice(this.#replicas.indexOf(replica), 1);
    const end = () => {
      this.#leaving.delete(replica);
      replica.close();
    };
    this.#leaving.set(replica, setTimeout(end, GRACE_MS));
    this.#options.changed();
  }
}
