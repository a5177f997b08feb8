import { setTimeout as pause } from 'node:timers/promises';
import type { Clock, Random } from '@latchkey/kernel';
import { StoreUnavailable } from '@latchkey/store';
import type { RedisArgument } from 'redis';
import { addressText, type RedisAddress } from './address.ts';
import { type Caller, openSession, REPLY_DEADLINE_MS, type Reply, type Session } from './session.ts';

/** Says what happened to a connection; `fields` never hold a secret. */
export type Log = (message: string, fields: Readonly<Record<string, string | number>>) => void;

/** What a link needs. */
export type LinkOptions = {
  /** For the log: what the connection is for. */
  readonly purpose: string;
  readonly address: RedisAddress;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Readies each new connection before anyone else uses it; a rejection ends that connection. */
  readonly prepare: (session: Session) => Promise<void>;
};

const FIRST_PAUSE_MS = 25;
/** Longest pause between attempts: one connection a second or so costs a Redis that comes back nothing. */
const MAX_PAUSE_MS = 1_600;
/** Most calls that wait for a new connection: more have nothing to gain within the deadline. */
const MAX_WAITING = 10_000;

type Waiter = { readonly resolve: (session: Session) => void; readonly reject: (error: Error) => void };

/**
 * A connection that is made anew for ever after it ended. A call waits for a new one as long as a reply may take; when
 * the server has been away for longer than that, it rejects at once.
 */
export class Link implements Caller {
  readonly #options: LinkOptions;
  readonly #closing = new AbortController();
  readonly #waiting = new Set<Waiter>();
  #session: Session | undefined;
  #downSinceMs: number;
  #downBecause = 'not connected yet';

  private constructor(options: LinkOptions) {
    this.#options = options;
    this.#downSinceMs = options.clock.monotonic();
  }

  /** Connects and prepares once. Rejects with a StoreUnavailable when that fails. */
  static async open(options: LinkOptions): Promise<Link> {
    const link = new Link(options);
    const session = await link.#attempt();
    void link.#keep(session);
    return link;
  }

  /** The connection that is ready for use, if one is. */
  get session(): Session | undefined {
    return this.#session;
  }

  async call(args: readonly RedisArgument[]): Promise<Reply> {
    return (this.#session ?? (await this.#next())).call(args);
  }

  async callBinary(args: readonly RedisArgument[]): Promise<Reply> {
    return (this.#session ?? (await this.#next())).callBinary(args);
  }

  /** Waits for a connection that is ready, at most `deadlineMs`. */
  async ready(deadlineMs: number): Promise<Session> {
    if (this.#session !== undefined) return this.#session;
    if (this.#closing.signal.aborted || deadlineMs <= 0 || this.#waiting.size >= MAX_WAITING) throw this.#unavailable();
    let waiter: Waiter | undefined;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Session>((resolve, reject) => {
        waiter = { resolve, reject };
        this.#waiting.add(waiter);
        timer = setTimeout(() => reject(this.#unavailable()), deadlineMs);
      });
    } finally {
      clearTimeout(timer);
      if (waiter !== undefined) this.#waiting.delete(waiter);
    }
  }

  /** The next connection, if it comes before the last one has been gone for as long as a reply may take. */
  #next(): Promise<Session> {
    const goneMs = this.#options.clock.monotonic() - this.#downSinceMs;
    return this.ready(REPLY_DEADLINE_MS - goneMs);
  }

  /** Ends the connection for good; calls reject from now on. */
  close(): void {
    this.#closing.abort();
    this.#downBecause = 'the store is closed';
    this.#session?.end(this.#downBecause);
    this.#session = undefined;
    for (const waiter of this.#waiting) waiter.reject(this.#unavailable());
  }

  async #attempt(): Promise<Session> {
    const session = await openSession(this.#options.address);
    try {
      await this.#options.prepare(session);
      return session;
    } catch (error) {
      session.end('not prepared');
      throw error;
    }
  }

  async #keep(first: Session): Promise<void> {
    let session: Session | undefined = first;
    while (session !== undefined) {
      this.#up(session);
      this.#down(await session.ended);
      session = await this.#again();
    }
  }

  #up(session: Session): void {
    this.#session = session;
    for (const waiter of this.#waiting) waiter.resolve(session);
  }

  #down(reason: string): void {
    this.#session = undefined;
    if (this.#closing.signal.aborted) return;
    this.#downSinceMs = this.#options.clock.monotonic();
    this.#downBecause = reason;
    this.#note('Redis connection lost', reason);
  }

  /** Tries until it has a connection; undefined once closed. */
  async #again(): Promise<Session | undefined> {
    for (let attempt = 0; !this.#closing.signal.aborted; attempt++) {
      try {
        await pause(this.#pauseMs(attempt), undefined, { signal: this.#closing.signal });
        const session = await this.#attempt();
        this.#note('Redis connection made anew', this.#downBecause);
        if (!this.#closing.signal.aborted) return session;
        session.end('closed');
      } catch (error) {
        if (this.#closing.signal.aborted) return undefined;
        this.#downBecause = error instanceof Error ? error.message : String(error);
        this.#note('Redis connection not made', this.#downBecause);
      }
    }
    return undefined;
  }

  /** Doubles from attempt to attempt; a random half of it keeps replicas from coming back in step. */
  #pauseMs(attempt: number): number {
    const fullMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempt, 16));
    const [byte = 0] = this.#options.random(1);
    return (fullMs / 2) * (1 + byte / 255);
  }

  #note(message: string, reason: string): void {
    const { purpose, address, log } = this.#options;
    log(message, { purpose, address: addressText(address), reason });
  }

  #unavailable(): StoreUnavailable {
    const { address } = this.#options;
    if (this.#closing.signal.aborted) return new StoreUnavailable('the store is closed');
    const where = `Redis at ${addressText(address)}: `;
    return new StoreUnavailable(
      this.#downBecause.startsWith(where) ? this.#downBecause : `${where}${this.#downBecause}`,
    );
  }
}
