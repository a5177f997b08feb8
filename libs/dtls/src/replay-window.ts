/** How far back a record may come late (RFC 6347 4.1.2.6 prefers 64). */
const WINDOW = 64;

/** Tells numbers that were seen from new ones; what is older than the window counts as seen (RFC 6347 4.1.2.6). */
export class ReplayWindow {
  #newest = -1;
  /** Bit n: the number n below the newest was seen. */
  #seen = 0n;

  /** Whether the number was not seen. It is marked only once its record is authentic. */
  isNew(sequence: number): boolean {
    const behind = this.#newest - sequence;
    if (behind < 0) return true;
    return behind < WINDOW && (this.#seen & (1n << BigInt(behind))) === 0n;
  }

  /** Whether the number is greater than all that were marked. */
  isNewest(sequence: number): boolean {
    return sequence > this.#newest;
  }

  /** Marks the number of an authentic record. */
  mark(sequence: number): void {
    const behind = this.#newest - sequence;
    if (behind >= WINDOW) return;
    if (behind >= 0) {
      this.#seen |= 1n << BigInt(behind);
      return;
    }
    // A jump of more than the window empties it; shifting by 2^48 would ask for that much memory.
    this.#seen = BigInt.asUintN(WINDOW, this.#seen << BigInt(Math.min(-behind, WINDOW))) | 1n;
    this.#newest = sequence;
  }
}
