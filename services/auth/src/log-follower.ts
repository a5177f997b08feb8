import type { Change, LogPlace, Store } from '@latchkey/store';

/** Log entries read at a time while a watcher catches up. */
const SLICE = 512;

/** Changes that may wait while a log is read; then its watcher is cut off and comes back with its cursor. */
const MAX_WAITING = 10_000;

/** Before the first entry. */
const START: LogPlace = { position: 0, nonce: '' };

/** No place at all: what was before the log is found is unknown. No entry has this nonce. */
export const NOWHERE: LogPlace = { position: 0, nonce: '-' };

/** What a follower of one log tells its stream. */
export type LogSink = {
  readonly deliver: (change: Change) => void;
  /** The place was lost: changes before the new one are missing. */
  readonly missed: (shard: number) => void;
  /** Waits until the watcher has read. */
  readonly drained: () => Promise<void>;
};

/**
 * Where one stream stands in one log. AWAY: the log cannot be read, and what happens is read from it later. FINDING: the
 * place in it is looked for; the same. READING: it is caught up with, and what happens waits. LIVE: it is told at once.
 */
export class LogFollower {
  readonly shard: number;
  readonly #store: Pick<Store, 'log'>;
  readonly #sink: LogSink;
  #place = NOWHERE;
  #state: 'AWAY' | 'FINDING' | 'READING' | 'LIVE' = 'AWAY';
  #waiting: Change[] = [];

  constructor(shard: number, store: Pick<Store, 'log'>, sink: LogSink) {
    this.shard = shard;
    this.#store = store;
    this.#sink = sink;
  }

  /** The last entry that the watcher was told of. */
  get place(): LogPlace {
    return this.#place;
  }

  /** Whether the log cannot be read, and nobody tries to. */
  get isAway(): boolean {
    return this.#state === 'AWAY';
  }

  /** Whether all that comes after the place is told. */
  get isFollowed(): boolean {
    return this.#state === 'READING' || this.#state === 'LIVE';
  }

  /**
   * Finds the place after which to tell, in the log as it is; whether that is the wanted one, else it is the log's end.
   * `catchUp` goes on from there. Rejects when the log cannot be read; the wanted place is kept then.
   */
  async find(wanted: LogPlace): Promise<boolean> {
    this.#state = 'FINDING';
    this.#place = wanted;
    const isSomewhere = wanted.nonce !== NOWHERE.nonce;
    const { entries, end } = await this.#read(isSomewhere ? wanted : START, 1);
    const known = isSomewhere && entries !== undefined;
    if (!known) this.#place = end;
    this.#state = 'READING';
    return known;
  }

  /** Tells what came after the place, then what waits; from then on what comes. Rejects when the log cannot be read. */
  async catchUp(): Promise<void> {
    for (let length = SLICE; length === SLICE; ) {
      const { entries, end } = await this.#read(this.#place, SLICE);
      if (entries === undefined) {
        this.#place = end;
        this.#sink.missed(this.shard);
        break;
      }
      for (const change of entries) this.#tell(change);
      await this.#sink.drained();
      length = entries.length;
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#state = 'LIVE';
    for (const change of waiting) this.#tell(change);
  }

  /** Takes a change in; false: too many wait. */
  hear(change: Change): boolean {
    if (this.#state === 'LIVE') this.#tell(change);
    else if (this.#state === 'READING') this.#waiting.push(change);
    return this.#waiting.length <= MAX_WAITING;
  }

  #tell(change: Change): void {
    if (change.position <= this.#place.position) return;
    this.#place = { position: change.position, nonce: change.nonce };
    this.#sink.deliver(change);
  }

  async #read(after: LogPlace, limit: number) {
    try {
      return await this.#store.log(this.shard, after, limit);
    } catch (error) {
      this.#state = 'AWAY';
      this.#waiting = [];
      throw error;
    }
  }
}
