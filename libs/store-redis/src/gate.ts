import { RecordError, SealingError, StoreUnavailable } from '@latchkey/store';

// Those of the port; a caller knows what to do about each.
const KNOWN_ERRORS = [StoreUnavailable, RecordError, SealingError];

/** Every call on the store passes here: none begins after the close, and each fails with an error of the port. */
export class Gate {
  #running = 0;
  #closing: Promise<void> | undefined;
  #drained: () => void = () => undefined;

  /** Runs one call. Other errors become the `cause` of a StoreUnavailable. */
  async run<T>(step: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw new StoreUnavailable('the store is closed');
    this.#running += 1;
    try {
      return await step();
    } catch (cause) {
      if (KNOWN_ERRORS.some((known) => cause instanceof known)) throw cause;
      throw new StoreUnavailable(cause instanceof Error ? cause.message : 'the store failed', { cause });
    } finally {
      this.#running -= 1;
      if (this.#running === 0) this.#drained();
    }
  }

  /** Lets no call begin any more, waits for those that run (each has its deadline), then does `last` once. */
  close(last: () => Promise<void>): Promise<void> {
    this.#closing ??= this.#whenDrained().then(last);
    return this.#closing;
  }

  #whenDrained(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#drained = resolve;
    });
  }
}
