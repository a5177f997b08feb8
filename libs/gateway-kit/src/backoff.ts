import type { Random } from '@latchkey/kernel';

/** The first wait: a restarted service is back within a second. */
const INITIAL_MS = 200;

/** The longest wait, unless told otherwise: as long as a gateway may be deaf to changes while its service is there again. */
const MAX_MS = 2_000;

const UINT32_SPAN = 2 ** 32;

/** Waits between attempts: doubling, bounded, and spread so that a fleet of gateways does not come back as one. */
export class Backoff {
  readonly #random: Random;
  readonly #maxMs: number;
  #nextMs = INITIAL_MS;

  constructor(random: Random, maxMs = MAX_MS) {
    this.#random = random;
    this.#maxMs = maxMs;
  }

  /** Milliseconds to wait now: between half of the step and all of it. */
  nextMs(): number {
    const stepMs = this.#nextMs;
    this.#nextMs = Math.min(stepMs * 2, this.#maxMs);
    const fraction = Buffer.from(this.#random(4)).readUInt32LE() / UINT32_SPAN;
    return stepMs * (0.5 + fraction / 2);
  }

  /** Begins anew after a success. */
  reset(): void {
    this.#nextMs = INITIAL_MS;
  }
}
