/** How long a message id stands for one message (RFC 7252 4.8.2). */
const EXCHANGE_LIFETIME_MS = 247_000;

/**
 * Messages of one client that are remembered. A duplicate comes within seconds, so the newest are those that count; a reply
 * has some 30 bytes. The vendor allows 300 messages a minute.
 */
const MAX_REMEMBERED = 64;

type Entry = { readonly atMs: number; reply: Buffer | undefined };

/** Which messages of a client have come already, and what they were answered (RFC 7252 4.5). */
export class RecentMessages {
  readonly #monotonic: () => number;
  readonly #entries = new Map<number, Entry>();

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
  }

  /** Remembers a message; false: it has come before. */
  enter(id: number): boolean {
    const nowMs = this.#monotonic();
    const entry = this.#entries.get(id);
    if (entry !== undefined && nowMs - entry.atMs < EXCHANGE_LIFETIME_MS) return false;
    this.#entries.delete(id); // so that the map stays in the order of time
    this.#entries.set(id, { atMs: nowMs, reply: undefined });
    for (const [oldest, { atMs }] of this.#entries) {
      if (nowMs - atMs < EXCHANGE_LIFETIME_MS && this.#entries.size <= MAX_REMEMBERED) break;
      this.#entries.delete(oldest);
    }
    return true;
  }

  /** What a duplicate is to be answered from now on. */
  answered(id: number, reply: Buffer): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined) entry.reply = reply;
  }

  /** What a duplicate is to be answered; undefined: nothing yet. */
  replyTo(id: number): Buffer | undefined {
    return this.#entries.get(id)?.reply;
  }

  /** Takes the next message with this id for a new one. */
  forget(id: number): void {
    this.#entries.delete(id);
  }
}
