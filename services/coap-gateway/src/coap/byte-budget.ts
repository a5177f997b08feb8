/** Bytes that are held over all clients; what is over that is refused until others are done. */
export class ByteBudget {
  readonly #maxBytes: number;
  #held = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes that are held. */
  get held(): number {
    return this.#held;
  }

  /** Takes so many bytes; false: there are not so many left. */
  take(bytes: number): boolean {
    if (this.#held + bytes > this.#maxBytes) return false;
    this.#held += bytes;
    return true;
  }

  /** Gives them back. */
  give(bytes: number): void {
    this.#held -= bytes;
  }
}
