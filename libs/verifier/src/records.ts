import type { DeviceRecord } from '@latchkey/credential';
import type { DeviceId } from '@latchkey/kernel';
import { LRUCache } from 'lru-cache';

/** A record as it was read: what a decision is made on, and how it is told whether it still may be. */
export type Sighting<Key = DeviceId, Value = DeviceRecord> = {
  readonly key: Key;
  /** Undefined: there is none. */
  readonly record: Value | undefined;
  /** Monotonic milliseconds when the read was sent. */
  readonly readAtMs: number;
  readonly bucket: number;
  readonly generation: number;
  readonly epoch: number;
  /** Which use was noted last, see uses.ts; 0: none was. */
  noted: number;
};

/** How the cache has done since the start. */
export type RecordStats = {
  hits: number;
  misses: number;
  /** Questions that waited for a read that was already under way. */
  joins: number;
};

/** What the cache needs. */
export type RecordsOptions<Key, Value> = {
  readonly read: (key: Key) => Promise<Value | undefined>;
  readonly monotonic: () => number;
  /** Records to remember. */
  readonly maxRecords: number;
};

/** Buckets of the generation table: 256 KiB in all; two records sharing one cost each other a read now and then. */
const BUCKETS = 65_536;

/** Ids to remember that name no device: enough for a few broken clients, too few for a scan of ids to fill memory. */
const MAX_UNKNOWN = 10_000;

/**
 * Records by key, cached and coalesced; verdicts never. An invalidation marks the key's bucket, so that a read
 * which was sent before it can neither fill the cache nor be decided on, whenever it comes back.
 */
export class Records<Key extends string = DeviceId, Value extends object = DeviceRecord> {
  readonly stats: RecordStats = { hits: 0, misses: 0, joins: 0 };
  readonly #options: RecordsOptions<Key, Value>;
  readonly #known: LRUCache<Key, Sighting<Key, Value>>;
  // Apart, so that a scan of ids does not push out the records of real devices.
  readonly #unknown = new LRUCache<Key, Sighting<Key, Value>>({ max: MAX_UNKNOWN });
  readonly #reads = new Map<
    Key,
    { readonly ticket: Sighting<Key, Value>; readonly done: Promise<Sighting<Key, Value>> }
  >();
  readonly #generations = new Uint32Array(BUCKETS);
  #epoch = 0;

  constructor(options: RecordsOptions<Key, Value>) {
    this.#options = options;
    this.#known = new LRUCache({ max: options.maxRecords });
  }

  /** The sighting in the cache, if nothing was invalidated since. */
  cached(key: Key): Sighting<Key, Value> | undefined {
    const sighting = this.#known.get(key) ?? this.#unknown.get(key);
    if (sighting === undefined || !this.isCurrent(sighting)) return undefined;
    this.stats.hits += 1;
    return sighting;
  }

  /**
   * Reads the record, or joins a read that is still current. Rejects as the store does. Callers bound the reads under
   * way: each waits for one at a time.
   */
  read(key: Key): Promise<Sighting<Key, Value>> {
    const running = this.#reads.get(key);
    if (running !== undefined && this.isCurrent(running.ticket)) {
      this.stats.joins += 1;
      return running.done;
    }
    this.stats.misses += 1;
    const ticket = this.#ticket(key);
    const done = this.#fill(ticket);
    this.#reads.set(key, { ticket, done });
    return done;
  }

  /** Whether a decision on this sighting may be made now: nothing about the record was invalidated since it was sent for. */
  isCurrent(sighting: Sighting<Key, Value>): boolean {
    return sighting.epoch === this.#epoch && sighting.generation === this.#generations[sighting.bucket];
  }

  /** Forgets a record: it changed. */
  invalidate(key: Key): void {
    const bucket = bucketOf(key);
    this.#generations[bucket] = ((this.#generations[bucket] ?? 0) + 1) >>> 0;
    this.#known.delete(key);
    this.#unknown.delete(key);
  }

  /** Forgets everything: changes may have been missed. */
  invalidateAll(): void {
    this.#epoch += 1;
    this.#known.clear();
    this.#unknown.clear();
  }

  /** How many records are remembered. */
  get size(): number {
    return this.#known.size;
  }

  #ticket(key: Key): Sighting<Key, Value> {
    const bucket = bucketOf(key);
    return {
      key,
      record: undefined,
      readAtMs: this.#options.monotonic(),
      bucket,
      generation: this.#generations[bucket] ?? 0,
      epoch: this.#epoch,
      noted: 0,
    };
  }

  async #fill(ticket: Sighting<Key, Value>): Promise<Sighting<Key, Value>> {
    const { key } = ticket;
    try {
      const record = await this.#options.read(key);
      const sighting = { ...ticket, record };
      if (this.isCurrent(sighting)) (record === undefined ? this.#unknown : this.#known).set(key, sighting);
      return sighting;
    } finally {
      if (this.#reads.get(key)?.ticket === ticket) this.#reads.delete(key);
    }
  }
}

function bucketOf(key: string): number {
  let hash = 0;
  for (let at = 0; at < key.length; at++) hash = (Math.imul(hash, 31) + key.charCodeAt(at)) | 0;
  return (hash ^ (hash >>> 16)) & (BUCKETS - 1);
}
