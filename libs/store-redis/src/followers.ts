/** Looks after which a smaller number is believed, one a second: longer than a replica that takes over looks as if gone. */
const LOOKS = 5;

/**
 * How many replicas of a primary could take its place. More are believed at once; fewer only when no look has shown more
 * for a while, because a replica that takes over leaves its primary first.
 */
export class Followers {
  #seen: readonly number[] = [];

  /** A look has shown so many. */
  note(count: number): void {
    this.#seen = [...this.#seen, count].slice(-LOOKS);
  }

  get count(): number {
    return Math.max(0, ...this.#seen);
  }
}
