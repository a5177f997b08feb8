/** How often the loop's delay is measured; while it is late, as often as it turns. */
const INTERVAL_MS = 100;

/** Turns that must all be late: one pause, of the machine or of the garbage collector, is no overload. */
const SAMPLES = 4;

/** Measures how late the event loop is, for the decision whether to take in more. */
export class LoopDelay {
  readonly #monotonic: () => number;
  readonly #timer: NodeJS.Timeout;
  #lateMs: readonly number[] = [];
  #dueAtMs: number;

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
    this.#dueAtMs = monotonic() + INTERVAL_MS;
    this.#timer = setInterval(() => this.#measure(), INTERVAL_MS);
  }

  /** By how much every one of the last turns was late, milliseconds. */
  get sustainedMs(): number {
    return this.#lateMs.length < SAMPLES ? 0 : Math.min(...this.#lateMs);
  }

  /** Measures no more. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #measure(): void {
    const nowMs = this.#monotonic();
    this.#lateMs = [...this.#lateMs, Math.max(0, nowMs - this.#dueAtMs)].slice(-SAMPLES);
    this.#dueAtMs = nowMs + INTERVAL_MS;
  }
}
