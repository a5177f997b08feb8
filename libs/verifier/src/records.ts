import type { DeviceRecord } from '@latchkey/credential';
import type { DeviceId } from '@latchkey/kernel';
import { LRUCache } from 'lru-cache';

/** A record as it was read: what a decision is made on, and how it is told whether it still may be. */
export type Sighting = {
  readonly deviceId: DeviceId;
  /** Undefined: there is no such device. */
  readonly record: DeviceRecord | undefined;
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
export type RecordsOptions = {
  readonly read: (deviceId: DeviceId) => Promise<DeviceRecord | undefined>;
  readonly monotonic: () => number;
  /** Devices to remember. */
  readonly maxRecords: number;
};

/** Buckets of the generation table: 256 KiB in all; two devices sharing one cost each other a read now and then. */
const BUCKETS = 65_536;

/** Ids to remember that name no device: enough for a few broken clients, too few for a scan of ids to fill memory. */
const MAX_UNKNOWN = 10_000;

/**
 * Records by device, cached and coalesced; verdicts never. An invalidation marks the device's bucket, so that a read
 * which was sent before it can neither fill the cache nor be decided on, whenever it comes back.
 */
export class Records {
  readonly stats: RecordStats = { hits: 0, misses: 0, joins: 0 };
  readonly #options: RecordsOptions;
  readonly #known: LRUCache<DeviceId, Sighting>;
  // Apart, so that a scan of ids does not push out the records of real devices.
  readonly #unknown = new LRUCache<DeviceId, Sighting>({ max: MAX_UNKNOWN });
  readonly #reads = new Map<DeviceId, { readonly ticket: Sighting; readonly done: Promise<Sighting> }>();
  readonly #generations = new Uint32Array(BUCKETS);
  #epoch = 0;

  constructor(options: RecordsOptions) {
    this.#options = options;
    this.#known = new LRUCache({ max: options.maxRecords });
  }

  /** The sighting in the cache, if nothing was invalidated since. */
  cached(deviceId: DeviceId): Sighting | undefined {
    const sighting = this.#known.get(deviceId) ?? this.#unknown.get(deviceId);
    if (sighting === undefined || !this.isCurrent(sighting)) return undefined;
    this.stats.hits += 1;
    return sighting;
  }

  /**
   * Reads the record, or joins a read that is still current. Rejects as the store does. Callers bound the reads under
   * way: each waits for one at a time.
   */
  read(deviceId: DeviceId): Promise<Sighting> {
    const running = this.#reads.get(deviceId);
    if (running !== undefined && this.isCurrent(running.ticket)) {
      this.stats.joins += 1;
      return running.done;
    }
    this.stats.misses += 1;
    const ticket = this.#ticket(deviceId);
    const done = this.#fill(ticket);
    this.#reads.set(deviceId, { ticket, done });
    return done;
  }

  /** Whether a decision on this sighting may be made now: nothing about the device was invalidated since it was sent for. */
  isCurrent(sighting: Sighting): boolean {
    return sighting.epoch === this.#epoch && sighting.generation === this.#generations[sighting.bucket];
  }

  /** Forgets a device: its record changed. */
  invalidate(deviceId: DeviceId): void {
    const bucket = bucketOf(deviceId);
    this.#generations[bucket] = ((this.#generations[bucket] ?? 0) + 1) >>> 0;
    this.#known.delete(deviceId);
    this.#unknown.delete(deviceId);
  }

  /** Forgets everything: changes may have been missed. */
  invalidateAll(): void {
    this.#epoch += 1;
    this.#known.clear();
    this.#unknown.clear();
  }

  /** How many devices are remembered. */
  get size(): number {
    return this.#known.size;
  }

  #ticket(deviceId: DeviceId): Sighting {
    const bucket = bucketOf(deviceId);
    return {
      deviceId,
      record: undefined,
      readAtMs: this.#options.monotonic(),
      bucket,
      generation: this.#generations[bucket] ?? 0,
      epoch: this.#epoch,
      noted: 0,
    };
  }

  async #fill(ticket: Sighting): Promise<Sighting> {
    const { deviceId } = ticket;
    try {
      const record = await this.#options.read(deviceId);
      const sighting = { ...ticket, record };
      if (this.isCurrent(sighting)) (record === undefined ? this.#unknown : this.#known).set(deviceId, sighting);
      return sighting;
    } finally {
      if (this.#reads.get(deviceId)?.ticket === ticket) this.#reads.delete(deviceId);
    }
  }
}

function bucketOf(deviceId: DeviceId): number {
  let hash = 0;
  for (let at = 0; at < deviceId.length; at++) hash = (Math.imul(hash, 31) + deviceId.charCodeAt(at)) | 0;
  return (hash ^ (hash >>> 16)) & (BUCKETS - 1);
}
