import { type DeviceRecord, type DeviceState, dueAtMs, heldIn, type LastUses } from '@latchkey/credential';
import { type CredentialId, type DeviceId, NO_REVISION, type Random } from '@latchkey/kernel';
import {
  type Keyring,
  type Page,
  packState,
  RecordError,
  revisionOf,
  type Store,
  StoreUnavailable,
  sealedUnder,
  type UseReport,
  unpackRecord,
  type Write,
  type WriteResult,
} from '@latchkey/store';
import type { RedisArgument } from 'redis';
import { entryText } from './entry.ts';
import { callReseal, callWrite, type WriteReply } from './functions.ts';
import { keptKey, recordKey, replayKey, shardOf } from './keys.ts';
import { idsPage, parseReplay, type Rows, replayContent } from './rows.ts';
import type { Caller, Reply } from './session.ts';
import type { Shard } from './shard.ts';
import { endUses, lastUses, reportUses } from './uses.ts';

const NONCE_BYTES = 9;

/** What the operations of the store work with. */
export type Parts = {
  readonly storeId: string;
  readonly shards: readonly Shard[];
  readonly keyring: Keyring;
  readonly random: Random;
};

/** The shard with this number. Throws a StoreUnavailable when there is none. */
export function shardAt({ shards }: Parts, number: number): Shard {
  const shard = shards[number];
  if (shard === undefined) throw new StoreUnavailable(`the store has ${shards.length} logs, and no ${number}`);
  return shard;
}

/** The shard of a device. */
export function shardFor(parts: Parts, deviceId: DeviceId): Shard {
  return shardAt(parts, shardOf(deviceId, parts.shards.length));
}

/** Reads one record. */
export async function readRecord(parts: Parts, deviceId: DeviceId): Promise<DeviceRecord | undefined> {
  const { reads, keys } = shardFor(parts, deviceId);
  const bytes = await reads.get(recordKey(keys, deviceId));
  return bytes === undefined ? undefined : unpackRecord(bytes, parts.keyring, deviceId);
}

/** Reads a page of records. */
export async function listRecords(parts: Parts, query: Parameters<Store['list']>[0]): Promise<Page> {
  const { ids, next } = await idsPage(rowsOf(parts), query);
  const records = await Promise.all(ids.map((deviceId) => readRecord(parts, deviceId)));
  // A device may have been deleted since the ids were read.
  return { records: records.filter((record) => record !== undefined), next };
}

/** Where the rows of all shards are read. */
export function rowsOf({ shards }: Parts): readonly Rows[] {
  return shards.map(readingRows);
}

/** Writes one record with all that belongs to it; the listeners have heard of it and the replicas have it. */
export async function writeRecord(parts: Parts, write: Write): Promise<WriteResult> {
  const { keyring, random, storeId } = parts;
  const { deviceId, expectedRevision, state, replay, kind, effect } = write;
  if (state !== undefined && state.deviceId !== deviceId) {
    throw new RecordError(`a state of device ${state.deviceId} is not one of device ${deviceId}`);
  }
  const shard = shardFor(parts, deviceId);
  const change = { nonce: Buffer.from(random(NONCE_BYTES)).toString('base64url'), deviceId, kind, effect };
  const call = {
    deviceId,
    expectedRevision,
    body: state === undefined ? undefined : packState(state, keyring, random),
    entry: entryText(change),
    closesAll: effect.close === 'DEVICE',
    dueMs: state === undefined ? undefined : dueAtMs(state),
    credentialIds: state === undefined ? [] : credentialIdsOf(state),
    replay: replay === undefined ? undefined : { key: replay.key, content: replayContent(replay) },
    storeId,
  };
  const written = async (control: Caller) => {
    const { feed, keys } = shard;
    const reply = await callWrite(control, keys, call);
    // Also when too few replicas have it: it may stay, so nobody may go on with what was before.
    if (reply.outcome === 'WRITTEN') await feed.wrote({ shard: keys.shard, position: reply.revision, ...change });
    return reply;
  };
  const reachedBy = (reply: WriteReply) => (reply.outcome === 'WRITTEN' ? reply.revision : NO_REVISION);
  const reply = await shard.write(({ control, replication }) =>
    replication.confirmedLog(shard.keys, written(control), reachedBy),
  );
  if (reply.outcome === 'REPLAYED') return { outcome: 'REPLAYED', ...parseReplay(replay?.key ?? '', reply.replay) };
  return { outcome: reply.outcome, revision: reply.revision };
}

function credentialIdsOf(state: DeviceState): readonly CredentialId[] {
  const held = [heldIn(state, 'PRIMARY'), heldIn(state, 'SECONDARY')];
  return held.flatMap((slot) => (slot === undefined ? [] : [slot.credentialId]));
}

/** The replay that a write left. */
export async function readReplay(parts: Parts, deviceId: DeviceId, key: string) {
  const { reading, keys } = shardFor(parts, deviceId);
  const text = textOf(await reading.call(['GET', replayKey(keys, deviceId, key)]));
  return text === undefined ? undefined : parseReplay(key, text);
}

/** What `position` took away is accepted nowhere any more, and the replicas have all up to it. */
export async function settle(parts: Parts, deviceId: DeviceId, position: number): Promise<void> {
  const shard = shardFor(parts, deviceId);
  // A call that changed nothing may rest on a write that too few replicas have.
  await Promise.all([shard.lease.settled(position), shard.replicated(position)]);
}

/** Keeps a value under a name if none is there. */
export async function keepValue(parts: Parts, name: string, value: string): Promise<string> {
  const key = keptKey(shardAt(parts, 0).keys, name);
  const before = await confirmedCall(shardAt(parts, 0), ['SET', key, value, 'NX', 'GET']);
  return before === null ? value : String(before);
}

/** The value under a name. */
export async function keptValue(parts: Parts, name: string): Promise<string | undefined> {
  const { reading, keys } = shardAt(parts, 0);
  return textOf(await reading.call(['GET', keptKey(keys, name)]));
}

/** Drops the value under a name. */
export async function forgetValue(parts: Parts, name: string): Promise<void> {
  await confirmedCall(shardAt(parts, 0), ['DEL', keptKey(shardAt(parts, 0).keys, name)]);
}

/** Seals records again that are not under the current key. */
export async function resealRecords(parts: Parts, after: DeviceId | undefined, limit: number) {
  const { keyring, random } = parts;
  const { ids, next } = await idsPage(rowsOf(parts), { after, prefix: '', limit });
  const done = await Promise.all(
    ids.map(async (deviceId) => {
      const shard = shardFor(parts, deviceId);
      const key = recordKey(shard.keys, deviceId);
      const bytes = await shard.reads.get(key);
      if (bytes === undefined || sealedUnder(bytes, deviceId) === keyring.current.reference) return false;
      const body = packState(unpackRecord(bytes, keyring, deviceId), keyring, random);
      const revision = revisionOf(bytes, deviceId);
      return shard.write(({ control, replication }) => replication.confirmed(callReseal(control, key, revision, body)));
    }),
  );
  return { resealed: done.filter(Boolean).length, next };
}

/** Notes last uses; unlike other writes they need not be on a replica, for reports of a server that fails are in doubt. */
export function reportUsesOf(parts: Parts, report: UseReport): Promise<void> {
  return reportUses(report, (deviceId) => writingRows(shardFor(parts, deviceId)), writingRows(shardAt(parts, 0)));
}

/** Notes that a replica's reports are complete for good. */
export function endUsesOf(parts: Parts, replica: string): Promise<void> {
  return endUses(replica, writingRows(shardAt(parts, 0)));
}

/** Last uses of devices' credentials. */
export function lastUsesOf(parts: Parts, deviceIds: readonly DeviceId[]): Promise<LastUses> {
  return lastUses(deviceIds, (deviceId) => readingRows(shardFor(parts, deviceId)), readingRows(shardAt(parts, 0)));
}

function writingRows({ keys, writing }: Shard): Rows {
  return { keys, caller: writing };
}

function readingRows({ keys, reading }: Shard): Rows {
  return { keys, caller: reading };
}

function confirmedCall(shard: Shard, args: readonly RedisArgument[]): Promise<Reply> {
  return shard.write(({ control, replication }) => replication.confirmed(control.call(args)));
}

function textOf(reply: Reply): string | undefined {
  return reply === null ? undefined : String(reply);
}
