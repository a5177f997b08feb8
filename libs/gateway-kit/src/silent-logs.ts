import { crc32 } from 'node:zlib';
import type { WatchChangesResponse_PartialBeat } from '@latchkey/protocol/v1';
import type { Session } from './sessions.ts';

/** Picks the sessions whose end stands in one of these logs. */
export function concernedBy(shardCount: number, shards: readonly number[]): (session: Session) => boolean {
  if (shardCount === 0) return () => true;
  const concerned = new Set(shards);
  // What is trusted stands in log 0.
  return ({ deviceId, byCertificate }) =>
    concerned.has(crc32(deviceId) % shardCount) || (byCertificate && concerned.has(0));
}

/** Which logs the replica that is followed cannot tell of, as its beats say. */
export class SilentLogs {
  readonly #monotonic: () => number;
  #beat: WatchChangesResponse_PartialBeat | undefined;
  #concerns: (session: Session) => boolean = () => false;
  #sinceMs = Number.POSITIVE_INFINITY;

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
  }

  /** How many there are. */
  get count(): number {
    return this.#beat?.silentShards.length ?? 0;
  }

  /** A replica has named them; undefined: it tells of all. */
  note(beat: WatchChangesResponse_PartialBeat | undefined): void {
    if (beat === undefined) this.#sinceMs = Number.POSITIVE_INFINITY;
    else this.#sinceMs = Math.min(this.#sinceMs, this.#monotonic());
    this.#beat = beat;
    this.#concerns = beat === undefined ? () => false : concernedBy(beat.shardCount, beat.silentShards);
  }

  /** Another replica is followed: for how long it cannot tell of some counts from when it says so. */
  startAnew(): void {
    this.#sinceMs = Number.POSITIVE_INFINITY;
  }

  /** Whether nobody can say at this moment if the session may stay. */
  readonly concern = (session: Session): boolean => this.#concerns(session);

  /** Whether some have been silent for so long. */
  lastFor(ms: number): boolean {
    return this.#monotonic() - this.#sinceMs >= ms;
  }
}
