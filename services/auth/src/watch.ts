import { create } from '@bufbuild/protobuf';
import { type ServerWritableStream, status } from '@grpc/grpc-js';
import {
  type WatchChangesRequest,
  type WatchChangesResponse,
  WatchChangesResponse_BeatSchema,
  WatchChangesResponse_GapSchema,
  WatchChangesResponseSchema,
} from '@latchkey/protocol/v1';
import { RpcError } from '@latchkey/rpc';
import type { Log } from '@latchkey/runtime';
import type { Change, LogPlace, Store } from '@latchkey/store';
import { toChange } from './convert.ts';
import { type From, formatCursor, parseCursor } from './cursor.ts';

type Call = ServerWritableStream<WatchChangesRequest, WatchChangesResponse>;

/** A watcher that hears nothing for 3 s goes elsewhere, so it is told every second that there is nothing to tell. */
const BEAT_MS = 1_000;

/** Watchers at once: one a gateway process. */
const MAX_WATCHERS = 1_000;

/** Changes that may wait for a slow watcher; then it is cut off and comes back with its cursor. */
const MAX_WAITING = 10_000;

/** Log entries read at a time while a watcher catches up. */
const SLICE = 512;

/** Serves WatchChanges: what came after the cursor, then what comes. */
export function createWatch(store: Store, log: Log) {
  const watchers = new Set<Call>();
  return {
    /** Watchers now. */
    count: () => watchers.size,
    /** Opens one stream. Throws RESOURCE_EXHAUSTED or INVALID_ARGUMENT. */
    open(request: WatchChangesRequest, call: Call): void {
      if (watchers.size >= MAX_WATCHERS) throw new RpcError(status.RESOURCE_EXHAUSTED, 'too many watchers');
      const from = parseCursor(store, request.cursor);
      watchers.add(call);
      const follower = new Follower(store, call);
      follower.begin(from).catch((error: unknown) => {
        log.warn({ err: error }, 'a watcher could not be served');
        end(call, status.UNAVAILABLE, 'the store cannot be read');
      });
      call.once('close', () => {
        watchers.delete(call);
        follower.stop();
      });
    },
    /** Ends all streams: the watchers go to another replica. */
    close(): void {
      for (const call of watchers) end(call, status.UNAVAILABLE, 'this replica is stopping');
    },
  };
}

const START: LogPlace = { position: 0, nonce: '' };

/** One stream: where its watcher stands in every log, and what it is still to hear. */
class Follower {
  readonly #store: Store;
  readonly #call: Call;
  readonly #places: LogPlace[];
  readonly #stopListening: () => void;
  readonly #beats: NodeJS.Timeout;
  /** What happens while the logs are read; undefined once they are. */
  #waiting: Change[] | undefined = [];

  constructor(store: Store, call: Call) {
    this.#store = store;
    this.#call = call;
    this.#places = Array.from({ length: store.shards }, () => START);
    this.#stopListening = store.listen({
      changed: (change) => this.#hear(change),
      lost: () => end(call, status.UNAVAILABLE, 'this replica lost the log; come back with the cursor'),
    });
    this.#beats = setInterval(() => this.#beat(), BEAT_MS);
  }

  /** Sends a beat or a gap first, then all entries up to now, then what comes. */
  async begin(from: From): Promise<void> {
    const missed = await this.#place(from);
    if (missed.length > 0) this.#gap(missed);
    else if (this.#store.lease.holds()) this.#send({ case: 'beat', value: create(WatchChangesResponse_BeatSchema) });
    if (typeof from !== 'string') for (const shard of this.#places.keys()) await this.#catchUp(shard);
    for (const change of this.#waiting ?? []) this.#deliver(change);
    this.#waiting = undefined;
  }

  stop(): void {
    this.#stopListening();
    clearInterval(this.#beats);
  }

  /** Finds where to begin in every log; answers the shards in which changes were missed. */
  async #place(from: From): Promise<readonly number[]> {
    const missed: number[] = [];
    for (const shard of this.#places.keys()) {
      const wanted = typeof from === 'string' ? undefined : from[shard];
      const { entries, end: last } = await this.#store.log(shard, wanted ?? START, 1);
      const known = wanted !== undefined && entries !== undefined;
      this.#places[shard] = known ? wanted : last;
      if (!known && from !== 'NOW') missed.push(shard);
    }
    return missed;
  }

  async #catchUp(shard: number): Promise<void> {
    for (;;) {
      const { entries, end: last } = await this.#store.log(shard, this.#places[shard] ?? START, SLICE);
      if (entries === undefined) {
        this.#places[shard] = last;
        return this.#gap([shard]);
      }
      for (const change of entries) this.#deliver(change);
      await drained(this.#call);
      if (entries.length < SLICE) return;
    }
  }

  #hear(change: Change): void {
    if (this.#waiting === undefined) this.#deliver(change);
    else if (this.#waiting.length < MAX_WAITING) this.#waiting.push(change);
    else end(this.#call, status.RESOURCE_EXHAUSTED, 'too far behind; come back with the cursor');
  }

  #deliver(change: Change): void {
    if (change.position <= (this.#places[change.shard]?.position ?? 0)) return;
    this.#places[change.shard] = { position: change.position, nonce: change.nonce };
    this.#send({ case: 'change', value: toChange(change) });
  }

  #gap(shards: readonly number[]): void {
    const value = create(WatchChangesResponse_GapSchema, { shardCount: this.#store.shards, shards: [...shards] });
    this.#send({ case: 'gap', value });
  }

  /** Only a replica that hears every change says that there is none: without the lease it may be cut off. */
  #beat(): void {
    if (this.#waiting !== undefined || !this.#store.lease.holds()) return;
    this.#send({ case: 'beat', value: create(WatchChangesResponse_BeatSchema) });
  }

  #send(event: WatchChangesResponse['event']): void {
    const call = this.#call;
    if (call.destroyed || call.writableEnded) return;
    call.write(create(WatchChangesResponseSchema, { cursor: formatCursor(this.#store, this.#places), event }));
    if (call.writableLength > MAX_WAITING) end(call, status.RESOURCE_EXHAUSTED, 'too slow; come back with the cursor');
  }
}

async function drained(call: Call): Promise<void> {
  if (!call.writableNeedDrain || call.destroyed || call.writableEnded) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      call.off('drain', done).off('close', done);
      resolve();
    };
    call.on('drain', done).on('close', done);
  });
}

function end(call: Call, code: status, details: string): void {
  if (!call.destroyed && !call.writableEnded) call.emit('error', { code, details });
}
