/** The longest wait between two transmissions (RFC 6347 4.2.4.1). */
const MAX_WAIT_MS = 60_000;

/** A flight goes out so often at most, so that an address never gets more than so many copies. */
const MAX_TRANSMISSIONS = 10;

/** What a flight is sent by. */
export type RetransmissionOptions = {
  /** Sends the flight; `count` tells how often it went out before. */
  readonly send: (count: number) => void;
  /** The first wait. */
  readonly firstMs: number;
  readonly clock: () => number;
};

/** Sends a flight again until it is answered: by a timer that doubles, or because the client repeats its own. */
export class Retransmission {
  readonly #options: RetransmissionOptions;
  #timer: NodeJS.Timeout | undefined;
  #count = 0;
  #lastAt = 0;

  constructor(options: RetransmissionOptions) {
    this.#options = options;
  }

  /** Sends now, and again later. */
  start(): void {
    this.pause();
    if (this.#count === MAX_TRANSMISSIONS) return;
    this.#lastAt = this.#options.clock();
    this.#options.send(this.#count);
    this.#count += 1;
    this.resume();
  }

  /** Sends nothing until `resume`. */
  pause(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Waits for the next transmission. */
  resume(): void {
    clearTimeout(this.#timer);
    const waitMs = Math.min(this.#options.firstMs * 2 ** Math.max(0, this.#count - 1), MAX_WAIT_MS);
    this.#timer = setTimeout(() => this.start(), waitMs);
  }

  /** The client has not heard the flight: sends it at once, unless it just went out or waits for something else. */
  nudge(): void {
    if (this.#timer === undefined) return;
    if (this.#options.clock() - this.#lastAt >= this.#options.firstMs / 4) this.start();
  }
}
