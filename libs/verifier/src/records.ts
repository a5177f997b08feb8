import type { DeviceRecord } from '@latchkey/credential';
import type { DeviceId } from '@latchkey/kernel';
import { LRUCache } from 'lru-cache';

/** A record as it was read: what a decision is made on, and how it is told whether it still may be. */
export type Sighting<Key = DeviceId, Value = DeviceRecord, Form = string> = {
  readonly key: Key;
  /** Undefined: there is none. */
  readonly record: Value | undefined;
  readonly form: Form;
  readonly mark: Mark;
};

/** What had been invalidated when a read was sent. */
type Mark = { readonly bucket: number; readonly generation: number; readonly epoch: number };

/** How a record lies in memory, or that there is none, and when its read was sent: whole monotonic milliseconds. */
export type RecordForm<Key, Value, Form> = {
  readonly pack: (record: Value | undefined, readAtMs: number) => Form;
  readonly unpack: (key: Key, form: Form) => Value | undefined;
};

/** A record as it is. */
export type Plain<Value> = { readonly record: Value | undefined };

/** Records that are kept as they are. */
export function plainForm<Key, Value>(): RecordForm<Key, Value, Plain<Value>> {
  return { pack: (record) => ({ record }), unpack: (_key, { record }) => record };
}

/** How the cache has done since the start. */
export type RecordStats = {
  hits: number;
  misses: number;
  /** Questions that waited for a read that was already under way. */
  joins: number;
};

/** What the cache needs. */
export type RecordsOptions<Key, Value, Form> = {
  readonly read: (key: Key) => Promise<Value | undefined>;
  readonly monotonic: () => number;
  /** Records to remember. */
  readonly maxRecords: number;
  readonly form: RecordForm<Key, Value, Form>;
};

/** Buckets of the generation table: 256 KiB in all; two records sharing one cost each other a read now and then. */
const BUCKETS = 65_536;

/** Ids to remember that name no device: enough for a few broken clients, too few for a scan of ids to fill memory. */
const MAX_UNKNOWN = 10_000;

/**
 * Records by key, cached and coalesced; verdicts never. An invalidation marks the key's bucket, so that a read
 * which was sent before it can neither fill the cache nor be decided on, whenever it comes back.
 */
export class Records<Key extends string = DeviceId, Value extends object = DeviceRecord, Form extends {} = string> {
  readonly stats: RecordStats = { hits: 0, misses: 0, joins: 0 };
  readonly #options: RecordsOptions<Key, Value, Form>;
  readonly #known: LRUCache<Key, Form>;
  // Apart, so that a scan of ids does not push out the records of real devices.
  readonly #unknown = new LRUCache<Key, Form>({ max: MAX_UNKNOWN });
  readonly #reads = new Map<Key, { readonly mark: Mark; readonly done: Promise<Sighting<Key, Value, Form>> }>();
  readonly #generations = new Uint32Array(BUCKETS);
  #epoch = 0;

  constructor(options: RecordsOptions<Key, Value, Form>) {
    this.#options = options;
    this.#known = new LRUCache({ max: options.maxRecords });
  }

  /** What is in memory of a record: it is current until the caller awaits something, as a change drops it. */
  kept(key: Key): Form | undefined {
    const form = this.#known.get(key) ?? this.#unknown.get(key);
    if (form !== undefined) this.stats.hits += 1;
    return form;
  }

  /** The record that lies in this form; undefined: that there is none. */
  recordIn(key: Key, form: Form): Value | undefined {
    return this.#options.form.unpack(key, form);
  }

  /** Puts another form of the same record in the place of one, if that is still in memory. */
  replace(key: Key, form: Form, next: Form): void {
    if (this.#known.peek(key) === form) this.#known.set(key, next);
  }

  /** The sighting in memory, for a caller that awaits something before it decides. */
  cached(key: Key): Sighting<Key, Value, Form> | undefined {
    const form = this.kept(key);
    if (form === undefined) return undefined;
    return { key, record: this.recordIn(key, form), form, mark: this.#mark(key) };
  }

  /**
   * Reads the record, or joins a read that is still current. Rejects as the store does. Callers bound the reads under
   * way: each waits for one at a time.
   */
  read(key: Key): Promise<Sighting<Key, Value, Form>> {
    const running = this.#reads.get(key);
    if (running !== undefined && this.#holds(running.mark)) {
      this.stats.joins += 1;
      return running.done;
    }
    this.stats.misses += 1;
    const mark = this.#mark(key);
    const done = this.#fill(key, mark);
    this.#reads.set(key, { mark, done });
    return done;
  }

  /** Whether a decision on this sighting may be made now: nothing about the record was invalidated since it was sent for. */
  isCurrent({ mark }: Pick<Sighting, 'mark'>): boolean {
    return this.#holds(mark);
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

  #mark(key: Key): Mark {
    const bucket = bucketOf(key);
    return { bucket, generation: this.#generations[bucket] ?? 0, epoch: this.#epoch };
  }

  #holds({ bucket, generation, epoch }: Mark): boolean {
    return epoch === this.#epoch && generation === this.#generations[bucket];
  }

  async #fill(key: Key, mark: Mark): Promise<Sighting<Key, Value, Form>> {
    const { read, monotonic } = this.#options;
    const readAtMs = Math.floor(monotonic());
    try {
      const record = await read(key);
      const form = this.#options.form.pack(record, readAtMs);
      if (this.#holds(mark)) (record === undefined ? this.#unknown : this.#known).set(key, form);
      return { key, record, form, mark };
    } finally {
      if (this.#reads.get(key)?.mark === mark) this.#reads.delete(key);
    }
  }
}

function bucketOf(key: string): number {
  let hash = 0;
  for (let at = 0; at < key.length; at++) hash = (Math.imul(hash, 31) + key.charCodeAt(at)) | 0;
  return (hash ^ (hash >>> 16)) & (BUCKETS - 1);
}
