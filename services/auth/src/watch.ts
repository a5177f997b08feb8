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

type Call = ServerWritableStream<WatchChangesRequest, WatchChangesResponse>;

/** A watcher that hears nothing for 3 s goes elsewhere, so it is told every second that there is nothing to tell. */
const BEAT_MS = 1_000;

/** Watchers at once: one a gateway process. */
const MAX_WATCHERS = 1_000;

/** Changes that may wait for a slow watcher; then it is cut off and comes back with its cursor. */
const MAX_WAITING = 10_000;

/** Log entries read at a time while a watcher catches up. */
const SLICE = 512;

/** The log has one shard, 0, in every store that there is yet. */
const SHARD_COUNT = 1;

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
      const follower = follow(store, call, from);
      follower.caughtUp.catch((error: unknown) => {
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

type From = LogPlace | 'NOW' | 'ELSEWHERE';

function follow(store: Store, call: Call, from: From): { readonly stop: () => void; readonly caughtUp: Promise<void> } {
  let place: LogPlace = { position: 0, nonce: '' };
  let waiting: Change[] | undefined = []; // undefined once caught up
  const send = (event: WatchChangesResponse['event']) => write(call, store, place, event);
  const deliver = (change: Change) => {
    if (change.position <= place.position) return;
    place = change;
    send({ case: 'change', value: toChange(change) });
  };
  const sendGap = (end: LogPlace) => {
    place = end;
    const value = create(WatchChangesResponse_GapSchema, { shardCount: SHARD_COUNT, shards: [0] });
    send({ case: 'gap', value });
  };
  const beat = () => {
    if (store.lease.holds()) send({ case: 'beat', value: create(WatchChangesResponse_BeatSchema) });
  };
  const stopListening = store.listen({
    changed: (change) => {
      if (waiting === undefined) deliver(change);
      else if (waiting.length < MAX_WAITING) waiting.push(change);
      else end(call, status.RESOURCE_EXHAUSTED, 'too far behind; come back with the cursor');
    },
    lost: () => end(call, status.UNAVAILABLE, 'this replica lost the log; come back with the cursor'),
  });
  const beats = setInterval(() => waiting ?? beat(), BEAT_MS);
  const caughtUp = catchUp(store, from, {
    deliver,
    sendGap,
    drained: () => drained(call),
    begin: (at) => {
      place = at;
      beat();
    },
  }).then(() => {
    for (const change of waiting ?? []) deliver(change);
    waiting = undefined;
  });
  const stop = () => {
    stopListening();
    clearInterval(beats);
  };
  return { stop, caughtUp };
}

type Sink = {
  readonly begin: (at: LogPlace) => void;
  readonly deliver: (change: Change) => void;
  readonly sendGap: (end: LogPlace) => void;
  /** Waits until the watcher has taken what was sent, or is gone. */
  readonly drained: () => Promise<void>;
};

/** Sends a beat or a gap first, then all entries up to now. */
async function catchUp(store: Store, from: From, sink: Sink): Promise<void> {
  const { entries, end } = await store.log(typeof from === 'string' ? { position: 0, nonce: '' } : from, SLICE);
  if (from === 'NOW') return sink.begin(end);
  if (from === 'ELSEWHERE' || entries === undefined) return sink.sendGap(end);
  sink.begin(from);
  for (let slice: readonly Change[] = entries; slice.length > 0; ) {
    for (const change of slice) sink.deliver(change);
    await sink.drained();
    const last = slice.at(-1);
    if (slice.length < SLICE || last === undefined) return;
    const next = await store.log({ position: last.position, nonce: last.nonce }, SLICE);
    if (next.entries === undefined) return sink.sendGap(next.end);
    slice = next.entries;
  }
}

function write(call: Call, store: Store, place: LogPlace, event: WatchChangesResponse['event']): void {
  if (call.destroyed || call.writableEnded) return;
  call.write(create(WatchChangesResponseSchema, { cursor: formatCursor(store, place), event }));
  if (call.writableLength > MAX_WAITING) end(call, status.RESOURCE_EXHAUSTED, 'too slow; come back with the cursor');
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

/** `STORE.POSITION.NONCE`; opaque to watchers. */
function formatCursor(store: Store, { position, nonce }: LogPlace): string {
  return `${store.storeId}.${position}.${nonce}`;
}

function parseCursor(store: Store, cursor: string): From {
  if (cursor === '') return 'NOW';
  const match = /^([A-Za-z0-9_-]+)\.([0-9]{1,16})\.([A-Za-z0-9_-]*)$/.exec(cursor);
  if (match === null) throw new RpcError(status.INVALID_ARGUMENT, 'cursor: not one of this service');
  const [, storeId, position, nonce] = match;
  return storeId === store.storeId ? { position: Number(position), nonce: nonce ?? '' } : 'ELSEWHERE';
}
