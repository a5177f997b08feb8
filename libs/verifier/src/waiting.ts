/** No decision can be made; it says nothing about the device. */
export class NoDecision extends Error {
  override readonly name = 'NoDecision';
}

/** Beyond this, a store that has stopped answering would only pile up memory. */
const MAX_WAITING = 50_000;

/** Questions that wait for the store or the lease, counted. */
export class Waiting {
  #count = 0;

  /** Lets so many in, until `leave`. Throws a NoDecision when too many wait. */
  enter(questions: number): void {
    if (this.#count + questions > MAX_WAITING) throw new NoDecision('too many questions wait for the store');
    this.#count += questions;
  }

  /** So many have their answer, or none. */
  leave(questions: number): void {
    this.#count -= questions;
  }

  /** Lets so many in for as long as `work` takes. */
  async during<T>(questions: number, work: () => Promise<T>): Promise<T> {
    this.enter(questions);
    try {
      return await work();
    } finally {
      this.leave(questions);
    }
  }
}
