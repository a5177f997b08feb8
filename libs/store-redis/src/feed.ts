import { type Change, type ChangeListener, type LogPlace, PAGE_MAX } from '@latchkey/store';
import { parseEntry } from './entry.ts';
import { callLog, placeOf } from './functions.ts';
import type { ShardKeys } from './keys.ts';
import { REPLY_DEADLINE_MS, type Session } from './session.ts';

/** Most messages kept while a new connection catches up: more are read from the log instead. */
const MAX_EARLY = 10_000;

/** Most pages read while catching up: twice the log's 100,000 entries; a log that grows faster is given up. */
const MAX_PAGES = 200;

type Waiter = { readonly position: number; readonly resolve: () => void };

function guarded(hear: () => void): void {
  try {
    hear();
  } catch (error) {
    // It may have kept what it had to drop, so the process must not go on; but it ends only after this message was
    // decoded and the other listeners have heard.
    process.nextTick(() => {
      throw error;
    });
  }
}

/** Brings every change of a shard to the listeners: in the order of its log, each once, over the ends of connections. */
export class ChangeFeed {
  readonly #listeners = new Set<ChangeListener>();
  readonly #waiters = new Set<Waiter>();
  readonly #keys: ShardKeys;
  #place: LogPlace | undefined;
  #live: Session | undefined;
  /** The newest connection, live or still catching up. */
  #newest: Session | undefined;
  #early: Change[] = [];

  constructor(keys: ShardKeys) {
    this.#keys = keys;
  }

  /** Hears every change from now on; the returned function ends it. */
  listen(listener: ChangeListener): () => void {
    const own = { ...listener };
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  /**
   * Follows the channel on a new connection from where the last one ended. What was missed comes from the log; when the
   * log no longer shows it, or shows another history, the listeners hear `lost`.
   */
  async follow(session: Session, channel: string): Promise<void> {
    this.#live = undefined;
    this.#newest = session;
    this.#early = [];
    await session.subscribe(channel, (message) => this.#pushed(session, message));
    for (let page = 0; page < MAX_PAGES; page++) {
      const place = this.#place;
      const limit = place === undefined ? 0 : PAGE_MAX;
      const slice = await callLog(session, this.#keys, place ?? { position: 0, nonce: '' }, limit);
      if (this.#newest !== session) throw new Error('another connection follows the log');
      if (place === undefined) this.#place = slice.end;
      else if (slice.entries === undefined) this.#lose(slice.end);
      for (const change of slice.entries ?? []) this.#take(change);
      if (this.#at() >= slice.end.position && this.#takeEarly()) {
        this.#live = session;
        return;
      }
    }
    throw new Error(`the log grew by more than ${MAX_PAGES} pages while catching up`);
  }

  /** Takes an own write, unless its message came first; resolves when every listener has heard of it. */
  async wrote(change: Change): Promise<void> {
    if (change.position <= this.#at() || this.#take(change) === 'NEXT') return;
    this.#live?.end(`the message of a change before ${change.position} is missing`);
    await this.#reached(change.position);
  }

  /** The last entry of the log that the listeners heard of. */
  get place(): LogPlace {
    return this.#place ?? { position: 0, nonce: '' };
  }

  #at(): number {
    return this.#place?.position ?? 0;
  }

  // Called by node-redis while it decodes: whatever is thrown here would hand replies to the wrong callers.
  #pushed(session: Session, message: string): void {
    // A server that was replaced may still push what its successor never had.
    if (session !== this.#newest) return;
    const change = parseEntry(message, this.#keys.shard);
    if (change === undefined) {
      session.end('a message that is no change');
    } else if (this.#live === session) {
      if (this.#take(change) === 'GAP') session.end(`the message of a change before ${change.position} is missing`);
    } else if (this.#early.length < MAX_EARLY) {
      this.#early.push(change);
    } else {
      this.#early = [];
    }
  }

  /** Takes what was pushed while the log was read; false: something between is missing. */
  #takeEarly(): boolean {
    const early = this.#early;
    this.#early = [];
    return early.every((change) => change.position <= this.#at() || this.#take(change) === 'NEXT');
  }

  /**
   * NEXT: the listeners have heard of it; KNOWN: they had before; GAP: something before it is missing, or this position
   * was another change: the log must tell.
   */
  #take(change: Change): 'NEXT' | 'KNOWN' | 'GAP' {
    const at = this.#at();
    if (change.position === at && change.nonce === this.#place?.nonce) return 'KNOWN';
    if (change.position !== at + 1) return 'GAP';
    this.#place = placeOf(change);
    for (const listener of this.#listeners) guarded(() => listener.changed(change));
    this.#wake();
    return 'NEXT';
  }

  /** Goes on from `place`, which must be known before the listeners read anew. */
  #lose(place: LogPlace | undefined): void {
    this.#place = place;
    for (const listener of this.#listeners) guarded(() => listener.lost());
    for (const waiter of this.#waiters) waiter.resolve();
  }

  #wake(): void {
    for (const waiter of this.#waiters) if (waiter.position <= this.#at()) waiter.resolve();
  }

  /** Waits until a change was heard of; after the deadline the listeners hear `lost` instead. */
  async #reached(position: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    let waiter: Waiter | undefined;
    await new Promise<void>((resolve) => {
      waiter = { position, resolve };
      this.#waiters.add(waiter);
      timer = setTimeout(() => this.#lose(this.#place), REPLY_DEADLINE_MS);
    });
    clearTimeout(timer);
    if (waiter !== undefined) this.#waiters.delete(waiter);
  }
}
