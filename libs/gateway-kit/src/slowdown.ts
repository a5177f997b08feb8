/** A client that retries at once does so a few times a minute; one that waits for its answer gives up after 5 to 10 s. */
const HOLD_MS = 3_000;

/** Answers held back at a time; beyond that they go out at once: a link that waits costs more than a refusal. */
const MAX_HELD = 1_000;

/** Holds back the answer to a device that fails too often, so that it cannot try again at once. */
export class Slowdown {
  readonly #holdMs: number;
  readonly #maxHeld: number;
  readonly #held = new Map<NodeJS.Timeout, () => void>();

  constructor(holdMs = HOLD_MS, maxHeld = MAX_HELD) {
    this.#holdMs = holdMs;
    this.#maxHeld = maxHeld;
  }

  /** Answers that are held back. */
  get held(): number {
    return this.#held.size;
  }

  /** Resolves when the answer may go out: later, or at once where too many wait already. */
  hold(): Promise<void> {
    if (this.#held.size >= this.#maxHeld) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#held.delete(timer);
        resolve();
      }, this.#holdMs);
      this.#held.set(timer, resolve);
    });
  }

  /** Lets go of all. */
  stop(): void {
    for (const [timer, resolve] of this.#held) {
      clearTimeout(timer);
      resolve();
    }
    this.#held.clear();
  }
}
