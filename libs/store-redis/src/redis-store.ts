import type { DeviceRecord, DeviceState } from '@latchkey/credential';
import type { Clock, DeviceId, Random } from '@latchkey/kernel';
import {
  type Keyring,
  PAGE_MAX,
  type Page,
  packState,
  RecordError,
  revisionOf,
  type Store,
  sealedUnder,
  unpackRecord,
  type Write,
  type WriteResult,
} from '@latchkey/store';
import { parseRedisUrl } from './address.ts';
import { entryText } from './entry.ts';
import { ChangeFeed } from './feed.ts';
import { callLog, callReseal, callWrite, loadFunctions } from './functions.ts';
import { Gate } from './gate.ts';
import { greet, identify, recognise } from './greeting.ts';
import { Janitor } from './janitor.ts';
import { channelOf, keptKey, recordKey, replayKey, SHARDS } from './keys.ts';
import { HeartbeatLease } from './lease.ts';
import { Link, type Log } from './link.ts';
import { Reads } from './reads.ts';
import { idsPage, overdueIds, parseReplay, replayContent } from './rows.ts';
import type { Caller, Session } from './session.ts';

const NONCE_BYTES = 9;

/** What the store needs. */
export type RedisStoreOptions = {
  /** `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS. */
  readonly url: string;
  readonly keyring: Keyring;
  readonly clock: Clock;
  readonly random: Random;
  /** Hears of connections lost and made, and of settings that put data at risk. */
  readonly log?: Log;
};

type Parts = {
  readonly storeId: string;
  readonly control: Link;
  readonly reading: Link;
  readonly reads: Reads;
  readonly feed: ChangeFeed;
  readonly lease: HeartbeatLease;
  readonly janitor: Janitor;
  readonly keyring: Keyring;
  readonly random: Random;
};

/**
 * Opens the store in a standalone Redis 7.0 or newer. Rejects with a RedisUrlError, or with a StoreUnavailable while
 * the server is away, refuses the password or cannot serve. Later the store recovers by itself.
 */
export async function openRedisStore(options: RedisStoreOptions): Promise<Store> {
  const { url, keyring, clock, random, log = () => {} } = options;
  const shared = { address: parseRedisUrl(url), clock, random, log };
  const feed = new ChangeFeed();
  const lease = new HeartbeatLease({ feed, clock, log, onLaggard: (position) => janitor.look(position) });
  let storeId: string | undefined;
  const control = await Link.open({
    ...shared,
    purpose: 'writes and changes',
    prepare: async (session: Session) => {
      await greet(session, log);
      const first = storeId === undefined;
      storeId ??= await identify(session, random);
      await recognise(session, storeId);
      await loadFunctions(session, first ? 'REPLACE' : 'KEEP');
      await feed.follow(session, channelOf(storeId));
      await lease.begin(session);
    },
  });
  const janitor = new Janitor(control, clock, (count) => {
    lease.figures.evicted += count;
  });
  const known = String(storeId);
  try {
    const prepare = (session: Session) => recognise(session, known);
    const reading = await Link.open({ ...shared, purpose: 'reads', prepare });
    return storeOf({
      storeId: known,
      control,
      reading,
      reads: new Reads(reading),
      feed,
      lease,
      janitor,
      keyring,
      random,
    });
  } catch (error) {
    control.close();
    throw error;
  }
}

function bounded(limit: number): number {
  return Math.min(Math.max(1, Math.floor(limit)), PAGE_MAX);
}

function storeOf(parts: Parts): Store {
  const { storeId, control, reading, feed, lease, janitor } = parts;
  const gate = new Gate();
  return {
    storeId,
    shards: SHARDS,
    lease,
    read: (deviceId) => gate.run(() => recordOf(parts, deviceId)),
    write: (write) => gate.run(() => written(parts, write)),
    settled: (_deviceId, position) => gate.run(() => lease.settled(position)),
    replayed: (deviceId, key) =>
      gate.run(async () => {
        const text = await textAt(reading, replayKey(deviceId, key));
        return text === undefined ? undefined : parseReplay(key, text);
      }),
    list: (query) => gate.run(() => listed(parts, { ...query, limit: bounded(query.limit) })),
    overdue: (nowMs, limit) => gate.run(() => overdueIds(reading, nowMs, bounded(limit))),
    log: (_shard, after, limit) => gate.run(() => callLog(reading, after, bounded(limit))),
    listen: (listener) => feed.listen(listener),
    keep: (name, value) =>
      gate.run(async () => {
        const before = await control.call(['SET', keptKey(name), value, 'NX', 'GET']);
        return before === null ? value : String(before);
      }),
    kept: (name) => gate.run(() => textAt(reading, keptKey(name))),
    forget: (name) =>
      gate.run(async () => {
        await control.call(['DEL', keptKey(name)]);
      }),
    reseal: (after, limit) => gate.run(() => resealed(parts, after, bounded(limit))),
    close: () =>
      gate.close(async () => {
        janitor.close();
        await lease.leave().catch(() => undefined); // Redis is away: the others wait this replica out
        control.close();
        reading.close();
      }),
  };
}

async function textAt(caller: Caller, key: string): Promise<string | undefined> {
  const text = await caller.call(['GET', key]);
  return text === null ? undefined : String(text);
}

async function recordOf({ reads, keyring }: Parts, deviceId: DeviceId): Promise<DeviceRecord | undefined> {
  const bytes = await reads.get(recordKey(deviceId));
  return bytes === undefined ? undefined : unpackRecord(bytes, keyring, deviceId);
}

async function listed(parts: Parts, query: Parameters<Store['list']>[0]): Promise<Page> {
  const { ids, next } = await idsPage(parts.reading, query);
  const records = await Promise.all(ids.map((deviceId) => recordOf(parts, deviceId)));
  // A device may have been deleted since the ids were read.
  return { records: records.filter((record) => record !== undefined), next };
}

function activationDeadline(state: DeviceState | undefined): number | undefined {
  if (state === undefined || state.activatedAtMs !== undefined || state.activationTimeoutS === 0) return undefined;
  return state.createdAtMs + state.activationTimeoutS * 1000;
}

async function written(parts: Parts, write: Write): Promise<WriteResult> {
  const { control, feed, keyring, random, storeId } = parts;
  const { deviceId, expectedRevision, state, replay, kind, effect } = write;
  if (state !== undefined && state.deviceId !== deviceId) {
    throw new RecordError(`a state of device ${state.deviceId} is not one of device ${deviceId}`);
  }
  const change = { nonce: Buffer.from(random(NONCE_BYTES)).toString('base64url'), deviceId, kind, effect };
  const reply = await callWrite(control, {
    deviceId,
    expectedRevision,
    body: state === undefined ? undefined : packState(state, keyring, random),
    entry: entryText(change),
    closesAll: effect.close === 'DEVICE',
    activationDeadlineMs: activationDeadline(state),
    replay: replay === undefined ? undefined : { key: replay.key, content: replayContent(replay) },
    storeId,
  });
  if (reply.outcome === 'REPLAYED') return { outcome: 'REPLAYED', ...parseReplay(replay?.key ?? '', reply.replay) };
  const { outcome, revision } = reply;
  if (outcome === 'WRITTEN') await feed.wrote({ shard: 0, position: revision, ...change });
  return { outcome, revision };
}

async function resealed(parts: Parts, after: DeviceId | undefined, limit: number) {
  const { control, reading, reads, keyring, random } = parts;
  const { ids, next } = await idsPage(reading, { after, prefix: '', limit });
  const done = await Promise.all(
    ids.map(async (deviceId) => {
      const bytes = await reads.get(recordKey(deviceId));
      if (bytes === undefined || sealedUnder(bytes, deviceId) === keyring.current.reference) return false;
      const body = packState(unpackRecord(bytes, keyring, deviceId), keyring, random);
      return callReseal(control, deviceId, revisionOf(bytes, deviceId), body);
    }),
  );
  return { resealed: done.filter(Boolean).length, next };
}
