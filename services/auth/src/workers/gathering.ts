import type { About, Fact } from './messages.ts';

/** A worker that does not answer by then is stopped or hangs: scrapers and watchdogs have no more patience than that. */
const ANSWER_MS = 1_000;

/** Asks all workers, once at a time: who asks meanwhile hears the same. */
export class Gathering {
  readonly #ask: () => readonly number[];
  readonly #facts = new Map<number, Fact>();
  #awaited = new Set<number>();
  #round: PromiseWithResolvers<readonly Fact[]> | undefined;
  #deadline: NodeJS.Timeout | undefined;

  /** `ask` asks the workers that there are, and answers their numbers. */
  constructor(ask: () => readonly number[]) {
    this.#ask = ask;
  }

  /** What all workers say; those that do not answer in time are left out. */
  all(): Promise<readonly Fact[]> {
    if (this.#round !== undefined) return this.#round.promise;
    const round = Promise.withResolvers<readonly Fact[]>();
    this.#round = round;
    this.#facts.clear();
    this.#awaited = new Set(this.#ask());
    this.#deadline = setTimeout(() => this.#finish(), ANSWER_MS);
    if (this.#awaited.size === 0) this.#finish();
    return round.promise;
  }

  /** A worker answers; what comes too late is left out. */
  take(worker: number, fact: Fact): void {
    if (!this.#awaited.delete(worker)) return;
    this.#facts.set(worker, fact);
    if (this.#awaited.size === 0) this.#finish();
  }

  #finish(): void {
    clearTimeout(this.#deadline);
    this.#awaited.clear();
    this.#round?.resolve([...this.#facts.values()]);
    this.#round = undefined;
  }
}

/** A gathering for each thing that can be asked about. */
export type Gatherings = { readonly [A in About]: Gathering };
