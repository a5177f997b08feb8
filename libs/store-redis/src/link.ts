import { setTimeout as pause } from 'node:timers/promises';
import type { Clock, Random } from '@latchkey/kernel';
import { StoreUnavailable } from '@latchkey/store';
import { REPLY_DEADLINE_MS } from './session.ts';
import { Waiting } from './waiting.ts';

/** Says what happened to a connection; `fields` never hold a secret. */
export type Log = (message: string, fields: Readonly<Record<string, string | number>>) => void;

/** Something that works until it has ended. */
export type Ending = { readonly ended: Promise<string>; readonly end: (reason: string) => void };

/** What a link needs. */
export type LinkOptions<T extends Ending> = {
  /** For log and errors: what it leads to. */
  readonly where: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Connects, and readies the connection before anyone else uses it. */
  readonly connect: () => Promise<T>;
  /** A connection has ended, or was not made: whoever knows other servers may look for them. */
  readonly failed?: () => void;
};

const FIRST_PAUSE_MS = 25;
/** Longest pause between attempts: one connection a second or so costs a Redis that comes back nothing. */
const MAX_PAUSE_MS = 1_600;

/**
 * A connection that is made anew for ever after it ended. A call waits for a new one as long as a reply may take; when
 * the server has been away for longer than that, it rejects at once.
 */
export class Link<T extends Ending> {
  readonly #options: LinkOptions<T>;
  readonly #closing = new AbortController();
  readonly #waiting = new Waiting<T>();
  #current: T | undefined;
  #downSinceMs: number;
  #downBecause = 'not connected yet';

  private constructor(options: LinkOptions<T>) {
    this.#options = options;
    this.#downSinceMs = options.clock.monotonic();
  }

  /** Connects once. Rejects with a StoreUnavailable when that fails. */
  static async open<T extends Ending>(options: LinkOptions<T>): Promise<Link<T>> {
    const link = new Link(options);
    const connection = await options.connect();
    void link.#keep(connection);
    return link;
  }

  /** Connects in the background. */
  static start<T extends Ending>(options: LinkOptions<T>): Link<T> {
    const link = new Link(options);
    void link.#again().then((connection) => link.#keep(connection));
    return link;
  }

  /** The connection that is ready for use, if one is. */
  get current(): T | undefined {
    return this.#current;
  }

  /**
   * That connection, or the next one, if it comes within `deadlineMs` and before the last one has been gone for as long as
   * a reply may take.
   */
  async next(deadlineMs = REPLY_DEADLINE_MS): Promise<T> {
    if (this.#current !== undefined) return this.#current;
    const late = () => this.#unavailable();
    if (this.#closing.signal.aborted) throw late();
    const goneMs = this.#options.clock.monotonic() - this.#downSinceMs;
    return this.#waiting.wait(Math.min(deadlineMs, REPLY_DEADLINE_MS - goneMs), late);
  }

  /** Ends the connection for good; calls reject from now on. */
  close(reason = 'the store is closed'): void {
    if (this.#closing.signal.aborted) return;
    this.#downBecause = reason;
    this.#closing.abort();
    this.#current?.end(reason);
    this.#current = undefined;
    this.#waiting.reject(this.#unavailable());
  }

  async #keep(first: T | undefined): Promise<void> {
    let connection = first;
    while (connection !== undefined) {
      this.#up(connection);
      this.#down(await connection.ended);
      connection = await this.#again();
    }
  }

  #up(connection: T): void {
    this.#current = connection;
    this.#waiting.resolve(connection);
  }

  #down(reason: string): void {
    this.#current = undefined;
    if (this.#closing.signal.aborted) return;
    this.#downSinceMs = this.#options.clock.monotonic();
    this.#downBecause = reason;
    this.#note('Redis connection lost', reason);
    this.#options.failed?.();
  }

  /** Tries until it has a connection; undefined once closed. */
  async #again(): Promise<T | undefined> {
    for (let attempt = 0; !this.#closing.signal.aborted; attempt++) {
      try {
        await pause(this.#pauseMs(attempt), undefined, { signal: this.#closing.signal });
        const connection = await this.#options.connect();
        this.#note('Redis connection made anew', this.#downBecause);
        if (!this.#closing.signal.aborted) return connection;
        connection.end('closed');
      } catch (error) {
        if (this.#closing.signal.aborted) return undefined;
        this.#downBecause = error instanceof Error ? error.message : String(error);
        this.#note('Redis connection not made', this.#downBecause);
        this.#options.failed?.();
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
    const { where, log } = this.#options;
    log(message, { where, reason });
  }

  #unavailable(): StoreUnavailable {
    if (this.#closing.signal.aborted) return new StoreUnavailable(this.#downBecause);
    const { where } = this.#options;
    const told = this.#downBecause.startsWith('Redis at ');
    return new StoreUnavailable(told ? this.#downBecause : `${where}: ${this.#downBecause}`);
  }
}
