import type { StoreUnavailable } from '@latchkey/store';

/** Most that wait at once: more have nothing to gain within the deadline of a reply. */
const MAX_WAITING = 10_000;

type Waiter<T> = { readonly resolve: (value: T) => void; readonly reject: (error: Error) => void };

/** Those who wait for something that is not there at the moment, each for a while. */
export class Waiting<T> {
  readonly #waiters = new Set<Waiter<T>>();

  /** What comes within `deadlineMs`; rejects with `late` when nothing does, and at once when too many wait. */
  async wait(deadlineMs: number, late: () => StoreUnavailable): Promise<T> {
    if (deadlineMs <= 0 || this.#waiters.size >= MAX_WAITING) throw late();
    let waiter: Waiter<T> | undefined;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<T>((resolve, reject) => {
        waiter = { resolve, reject };
        this.#waiters.add(waiter);
        timer = setTimeout(() => reject(late()), deadlineMs);
      });
    } finally {
      clearTimeout(timer);
      if (waiter !== undefined) this.#waiters.delete(waiter);
    }
  }

  /** It has come. */
  resolve(value: T): void {
    for (const waiter of this.#waiters) waiter.resolve(value);
  }

  /** It does not come any more. */
  reject(error: StoreUnavailable): void {
    for (const waiter of this.#waiters) waiter.reject(error);
  }
}
