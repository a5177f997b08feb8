import { StoreUnavailable } from '@latchkey/store';
import type { Caller } from './session.ts';

/** Most reads in one round trip: larger ones gain nothing more and hold up Redis (1.1 million reads/s at 256). */
const MAX_BATCH = 256;

/** Most reads that are neither answered nor refused: ten seconds' worth would only be answered too late. */
const MAX_WAITING = 100_000;

type Waiting = {
  readonly key: string;
  readonly answer: (value: Buffer | undefined) => void;
  readonly reject: (error: unknown) => void;
};

/**
 * Reads single keys of one shard; the reads of one turn of the event loop share a round trip. A read is sent after it was asked for,
 * so it sees every write that was answered before.
 */
export class Reads {
  readonly #caller: Caller;
  #batch: Waiting[] = [];
  #waiting = 0;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** The value, read from its bytes; undefined: there is none. Rejects with a StoreUnavailable, or as `read` throws. */
  get<T>(key: string, read: (bytes: Buffer) => T): Promise<T | undefined> {
    if (this.#waiting >= MAX_WAITING) {
      return Promise.reject(new StoreUnavailable(`${MAX_WAITING} reads wait for Redis`));
    }
    this.#waiting += 1;
    return new Promise((resolve, reject) => {
      if (this.#batch.length === 0) setImmediate(() => this.#flush());
      const answer = (value: Buffer | undefined) => {
        try {
          resolve(value && read(value));
        } catch (error) {
          reject(error);
        }
      };
      this.#batch.push({ key, answer, reject });
      if (this.#batch.length >= MAX_BATCH) this.#flush();
    });
  }

  #flush(): void {
    const batch = this.#batch;
    this.#batch = [];
    // The batch was full before its turn ended.
    if (batch.length > 0) void this.#send(batch);
  }

  async #send(batch: readonly Waiting[]): Promise<void> {
    try {
      const values = await this.#caller.callBinary(['MGET', ...batch.map((read) => read.key)]);
      if (!Array.isArray(values) || values.length !== batch.length) {
        throw new StoreUnavailable('Redis gave an unexpected reply to MGET');
      }
      for (let index = 0; index < batch.length; index++) batch[index]?.answer(values[index] ?? undefined);
    } catch (error) {
      for (const read of batch) read.reject(error);
    } finally {
      this.#waiting -= batch.length;
    }
  }
}
