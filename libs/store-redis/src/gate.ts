import { RecordError, SealingError, StoreUnavailable } from '@latchkey/store';

// Those of the port; a caller knows what to do about each.
const KNOWN_ERRORS = [StoreUnavailable, RecordError, SealingError];

/** Every call on the store passes here: none begins after the close, and each fails with an error of the port. */
export class Gate {
  readonly #running = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  /** Runs one call. Other errors become the `cause` of a StoreUnavailable. */
  async run<T>(step: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw new StoreUnavailable('the store is closed');
    const running = step();
    this.#running.add(running);
    try {
      return await running;
    } catch (cause) {
      if (KNOWN_ERRORS.some((known) => cause instanceof known)) throw cause;
      throw new StoreUnavailable(cause instanceof Error ? cause.message : 'the store failed', { cause });
    } finally {
      this.#running.delete(running);
    }
  }

  /** Lets no call begin any more, waits for those that run (each has its deadline), then does `last` once. */
  close(last: () => Promise<void>): Promise<void> {
    this.#closing ??= Promise.allSettled(this.#running).then(last);
    return this.#closing;
  }
}
