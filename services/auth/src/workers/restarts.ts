/** The pause before a worker's place is taken again; it doubles each time that one ends soon after its start. */
const FIRST_PAUSE_MS = 200;
const MAX_PAUSE_MS = 30_000;

/** A worker that has run for so long ends by chance, not because it cannot run. */
const SETTLED_MS = 60_000;

/** When no worker serves and each has ended so often soon after its start, whoever started the service has to know. */
const MAX_FAILURES = 6;

/** When the places of workers that ended are taken again. */
export class Restarts {
  readonly #failures: Map<number, number>;

  /** For workers 1 to `size`. */
  constructor(size: number) {
    this.#failures = new Map(Array.from({ length: size }, (_, index) => [index + 1, 0]));
  }

  /**
   * A worker ended that lived for so long, while so many others serve: the pause before its place is taken, milliseconds.
   * Undefined: give up.
   */
  ended(worker: number, livedMs: number, serving: number): number | undefined {
    const failures = livedMs < SETTLED_MS ? (this.#failures.get(worker) ?? 0) + 1 : 1;
    this.#failures.set(worker, failures);
    const hopeless = [...this.#failures.values()].every((count) => count >= MAX_FAILURES);
    if (hopeless && serving === 0) return undefined;
    return Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), MAX_PAUSE_MS);
  }
}
