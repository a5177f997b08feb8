import {
  type DeviceRecord,
  type DeviceState,
  dueAtMs,
  heldIn,
  type LastUses,
  parseTrustKey,
  type TrustKey,
} from '@latchkey/credential';
import { type CredentialId, type DeviceId, NO_REVISION, type Random } from '@latchkey/kernel';
import {
  type Change,
  type Keyring,
  type Page,
  packState,
  packTrust,
  RecordError,
  type RecordKey,
  revisionOf,
  type Store,
  StoreUnavailable,
  sealedUnder,
  type TrustRecord,
  type TrustWrite,
  type TrustWriteResult,
  type UseReport,
  unpackRecord,
  unpackTrust,
  type Write,
  type WriteResult,
} from '@latchkey/store';
import type { RedisArgument } from 'redis';
import { entryText } from './entry.ts';
import { callReseal, callWrite, strings, type WriteCall, type WriteReply } from './functions.ts';
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

/** The shard of a record. */
export function shardFor(parts: Parts, key: RecordKey): Shard {
  return shardAt(parts, shardOf(key, parts.shards.length));
}

/** Reads one record. */
export function readRecord(parts: Parts, deviceId: DeviceId): Promise<DeviceRecord | undefined> {
  const { reads, keys } = shardFor(parts, deviceId);
  return reads.get(recordKey(keys, deviceId), (bytes) => unpackRecord(bytes, parts.keyring, deviceId));
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
  const { keyring, random } = parts;
  const { deviceId, expectedRevision, state, replay, kind, effect } = write;
  if (state !== undefined && state.deviceId !== deviceId) {
    throw new RecordError(`a state of device ${state.deviceId} is not one of device ${deviceId}`);
  }
  const reply = await writeChange(
    parts,
    { key: deviceId, kind, effect },
    {
      expectedRevision,
      body: state === undefined ? undefined : packState(state, keyring, random),
      dueMs: state === undefined ? undefined : dueAtMs(state),
      credentialIds: state === undefined ? [] : credentialIdsOf(state),
      replay: replay === undefined ? undefined : { key: replay.key, content: replayContent(replay) },
    },
  );
  if (reply.outcome === 'REPLAYED') return { outcome: 'REPLAYED', ...parseReplay(replay?.key ?? '', reply.replay) };
  return { outcome: reply.outcome, revision: reply.revision };
}

/** Writes one trust set, as a record is written. */
export async function writeTrust(parts: Parts, write: TrustWrite): Promise<TrustWriteResult> {
  const { key, expectedRevision, set, kind, effect } = write;
  const body = packTrust(key, set, parts.keyring, parts.random);
  const change = { key, kind, effect };
  const none = { dueMs: undefined, credentialIds: [], replay: undefined };
  const reply = await writeChange(parts, change, { expectedRevision, body, ...none });
  if (reply.outcome === 'REPLAYED') throw new StoreUnavailable('Redis gave an unexpected reply to lk_write');
  return { outcome: reply.outcome, revision: reply.revision };
}

/** Reads one trust set. */
export function readTrust(parts: Parts, key: TrustKey): Promise<TrustRecord | undefined> {
  const { reads, keys } = shardFor(parts, key);
  return reads.get(recordKey(keys, key), (bytes) => unpackTrust(bytes, parts.keyring, key));
}

type PlannedChange = Pick<Change, 'key' | 'kind' | 'effect'>;
type PlannedWrite = Omit<WriteCall, 'key' | 'entry' | 'closesAll' | 'storeId'>;

async function writeChange(parts: Parts, planned: PlannedChange, write: PlannedWrite): Promise<WriteReply> {
  const { random, storeId } = parts;
  const shard = shardFor(parts, planned.key);
  const change = { nonce: Buffer.from(random(NONCE_BYTES)).toString('base64url'), ...planned };
  const call = {
    ...write,
    key: planned.key,
    entry: entryText(change),
    closesAll: planned.effect.close === 'DEVICE',
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
  return shard.write(({ control, replication }) => replication.confirmedLog(shard.keys, written(control), reachedBy));
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
export async function settle(parts: Parts, key: RecordKey, position: number): Promise<void> {
  const shard = shardFor(parts, key);
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
    ids.map((deviceId) =>
      resealAt(parts, deviceId, (bytes) => packState(unpackRecord(bytes, keyring, deviceId), keyring, random)),
    ),
  );
  return { resealed: done.filter(Boolean).length, next };
}

/** Seals trust sets again that are not under the current key. */
export async function resealTrust(parts: Parts): Promise<number> {
  const { keyring, random } = parts;
  let resealed = 0;
  // One after another: together they may be large.
  for (const key of await trustKeys(parts)) {
    const again = (bytes: Uint8Array) => packTrust(key, unpackTrust(bytes, keyring, key), keyring, random);
    if (await resealAt(parts, key, again)) resealed += 1;
  }
  return resealed;
}

/** The trust sets that there are. */
async function trustKeys(parts: Parts): Promise<readonly TrustKey[]> {
  const { reading, keys } = shardAt(parts, 0);
  const names = strings(await reading.call(['ZRANGE', keys.trust, '0', '-1']), 'ZRANGE');
  return names.map(parseTrustKey).filter((key) => key !== undefined);
}

async function resealAt(parts: Parts, key: RecordKey, again: (bytes: Uint8Array) => Uint8Array): Promise<boolean> {
  const shard = shardFor(parts, key);
  const place = recordKey(shard.keys, key);
  const bytes = await shard.reads.get(place, (found) => found);
  if (bytes === undefined || sealedUnder(bytes, key) === parts.keyring.current.reference) return false;
  const [revision, body] = [revisionOf(bytes, key), again(bytes)];
  return shard.write(({ control, replication }) => replication.confirmed(callReseal(control, place, revision, body)));
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
