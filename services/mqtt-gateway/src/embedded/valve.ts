import type { Duplex } from 'node:stream';

/** Why a link is not read from: it is being decided on, does not take its answers, or sent too much in this second. */
export type Hold = 'DECIDING' | 'BACKLOG' | 'PACE';

/** What a link may send in a second; what it sends beyond waits in its own buffers until the second is over. */
export type Pace = { readonly messages: number; readonly bytes: number };

const SECOND_MS = 1_000;

/** Opens and shuts the way in of a link. What is under way in one chunk, at most 64 KiB, still comes in. */
export class Valve {
  readonly #stream: Duplex;
  readonly #pace: Pace | undefined;
  readonly #monotonic: () => number;
  readonly #holds = new Set<Hold>();
  #sinceMs = Number.NEGATIVE_INFINITY;
  #messages = 0;
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(stream: Duplex, pace: Pace | undefined, monotonic: () => number) {
    this.#stream = stream;
    this.#pace = pace;
    this.#monotonic = monotonic;
  }

  /** Reads no further for a reason. */
  shut(why: Hold): void {
    this.#holds.add(why);
    this.#stream.pause();
  }

  /** The reason is gone; reads on if it was the last one. */
  open(why: Hold): void {
    if (this.#holds.delete(why) && this.#holds.size === 0) this.#stream.resume();
  }

  /** Forgets all reasons: what still comes is read, to be thrown away. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#holds.clear();
    this.#stream.resume();
  }

  /** A chunk with so many messages came in: shuts when answers pile up, or when it was too much for this second. */
  passed(messages: number, bytes: number): void {
    if (this.#stream.writableNeedDrain && !this.#holds.has('BACKLOG')) {
      this.shut('BACKLOG');
      this.#stream.once('drain', () => this.open('BACKLOG'));
    }
    if (this.#pace !== undefined) this.#keep(this.#pace, messages, bytes);
  }

  #keep(pace: Pace, messages: number, bytes: number): void {
    const nowMs = this.#monotonic();
    if (nowMs - this.#sinceMs >= SECOND_MS) [this.#sinceMs, this.#messages, this.#bytes] = [nowMs, 0, 0];
    this.#messages += messages;
    this.#bytes += bytes;
    if (this.#holds.has('PACE') || (this.#messages <= pace.messages && this.#bytes <= pace.bytes)) return;
    this.shut('PACE');
    this.#timer = setTimeout(() => this.open('PACE'), this.#sinceMs + SECOND_MS - nowMs);
  }
}
