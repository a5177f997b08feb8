import { create } from '@bufbuild/protobuf';
import { type ServerWritableStream, status } from '@grpc/grpc-js';
import {
  type WatchChangesRequest,
  type WatchChangesResponse,
  WatchChangesResponse_BeatSchema,
  WatchChangesResponse_GapSchema,
  WatchChangesResponse_PartialBeatSchema,
  WatchChangesResponseSchema,
} from '@latchkey/protocol/v1';
import { RpcError } from '@latchkey/rpc';
import type { Log } from '@latchkey/runtime';
import type { Change, Store } from '@latchkey/store';
import { toChange } from './convert.ts';
import { type From, formatCursor, parseCursor } from './cursor.ts';
import { LogFollower, NOWHERE } from './log-follower.ts';

type Call = ServerWritableStream<WatchChangesRequest, WatchChangesResponse>;

/** A watcher that hears nothing for 3 s goes elsewhere, so it is told every second that there is nothing to tell. */
const BEAT_MS = 1_000;

/** Watchers at once: one a gateway process. */
const MAX_WATCHERS = 1_000;

/** Changes that may wait for a slow watcher; then it is cut off and comes back with its cursor. */
const MAX_WAITING = 10_000;

/** How long the first message waits for logs that do not answer: those of the others are to be told at once. */
const FIRST_MS = 250;

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
      const follower = new Follower(store, call, request.takesPartialBeats);
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

/** One stream: where its watcher stands in every log, and what it is still to hear. */
class Follower {
  readonly #store: Store;
  readonly #call: Call;
  /** Whether it can be told that some logs are silent; otherwise all must be there. */
  readonly #takesPartial: boolean;
  readonly #logs: readonly LogFollower[];
  readonly #stopListening: () => void;
  readonly #beats: NodeJS.Timeout;
  /** Resolves when the first message was sent: nothing is told before. */
  readonly #opening = Promise.withResolvers<void>();
  #isOpen = false;

  constructor(store: Store, call: Call, takesPartial: boolean) {
    this.#store = store;
    this.#call = call;
    this.#takesPartial = takesPartial;
    const sink = {
      deliver: (change: Change) => this.#send({ case: 'change', value: toChange(change) }),
      missed: (shard: number) => this.#gap([shard]),
      drained: () => drained(call),
    };
    this.#logs = Array.from({ length: store.shards }, (_, shard) => new LogFollower(shard, store, sink));
    this.#stopListening = store.listen({
      changed: (change) => this.#hear(change),
      lost: () => end(call, status.UNAVAILABLE, 'this replica lost the log; come back with the cursor'),
    });
    this.#beats = setInterval(() => this.#tick(), BEAT_MS);
  }

  /**
   * Sends a beat or a gap first, then all entries up to now, then what comes. Rejects when a log that is needed cannot be
   * read: any, unless the watcher takes partial beats; then only if none can be.
   */
  async begin(from: From): Promise<void> {
    const missed: number[] = [];
    const found = this.#logs.map(async (log) => {
      const known = await log.find(typeof from === 'string' ? NOWHERE : (from[log.shard] ?? NOWHERE));
      // From now on: what came before is no loss. Who is found after the first message is late, and has lost something.
      if (!known && (from !== 'NOW' || this.#isOpen)) missed.push(log.shard);
    });
    const entered = Promise.all(this.#logs.map((log, at) => this.#enter(log, found[at] ?? Promise.resolve(), missed)));
    entered.catch(() => undefined); // it is heard of below, or what is awaited before that rejects as well
    if (!this.#takesPartial) await Promise.all(found);
    else await Promise.race([Promise.allSettled(found), Promise.any(found).then(aMoment)]);
    if (this.#logs.every(({ isAway }) => isAway)) await Promise.any(found);
    if (missed.length > 0) this.#gap(missed.splice(0));
    else this.#beat();
    this.#isOpen = true;
    this.#opening.resolve();
    await entered;
  }

  stop(): void {
    this.#stopListening();
    clearInterval(this.#beats);
  }

  /** Goes on from where the log was found, once the stream is open. One that cannot be read is entered again later. */
  async #enter(log: LogFollower, found: Promise<void>, missed: number[]): Promise<void> {
    try {
      await found;
      await this.#opening.promise;
      const late = missed.indexOf(log.shard);
      if (late >= 0) this.#gap(missed.splice(late, 1));
      await log.catchUp();
    } catch (error) {
      if (!this.#takesPartial) throw error;
    }
  }

  #hear(change: Change): void {
    if (this.#logs[change.shard]?.hear(change) === false)
      end(this.#call, status.RESOURCE_EXHAUSTED, 'too far behind; come back with the cursor');
  }

  #gap(shards: readonly number[]): void {
    const value = create(WatchChangesResponse_GapSchema, { shardCount: this.#store.shards, shards: [...shards] });
    this.#send({ case: 'gap', value });
  }

  #tick(): void {
    if (!this.#isOpen) return;
    for (const log of this.#logs) if (log.isAway && this.#store.hears(log.shard)) this.#enterAgain(log);
    this.#beat();
  }

  #enterAgain(log: LogFollower): void {
    const missed: number[] = [];
    const found = log.find(log.place).then((known) => void (known || missed.push(log.shard)));
    void this.#enter(log, found, missed);
  }

  /** Only a replica that hears every change of a log says that there is none: without the lease it may be cut off. */
  #beat(): void {
    const silent = this.#logs.filter(({ isFollowed, shard }) => !isFollowed || !this.#store.hears(shard));
    const silentShards = silent.map(({ shard }) => shard);
    const shardCount = this.#store.shards;
    if (silent.length === 0) this.#send({ case: 'beat', value: create(WatchChangesResponse_BeatSchema) });
    else if (this.#takesPartial && silent.length < shardCount)
      this.#send({
        case: 'partialBeat',
        value: create(WatchChangesResponse_PartialBeatSchema, { shardCount, silentShards }),
      });
  }

  #send(event: WatchChangesResponse['event']): void {
    const call = this.#call;
    if (call.destroyed || call.writableEnded) return;
    const places = this.#logs.map(({ place }) => place);
    call.write(create(WatchChangesResponseSchema, { cursor: formatCursor(this.#store, places), event }));
    if (call.writableLength > MAX_WAITING) end(call, status.RESOURCE_EXHAUSTED, 'too slow; come back with the cursor');
  }
}

function aMoment(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, FIRST_MS));
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
