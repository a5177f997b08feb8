import { readFileSync } from 'node:fs';
import { isTrustKey } from '@latchkey/credential';
import { type CredentialId, type Revision, toRevision } from '@latchkey/kernel';
import { type Change, type LogPlace, type LogSlice, type RecordKey, StoreUnavailable } from '@latchkey/store';
import { parseEntry } from './entry.ts';
import { channelOf, recordKey, replayKey, type ShardKeys, usesKey } from './keys.ts';
import type { Caller, Reply } from './session.ts';

const SOURCE = readFileSync(new URL('./functions.lua', import.meta.url), 'utf8');

/** One write as the function takes it. */
export type WriteCall = {
  readonly key: RecordKey;
  readonly expectedRevision: Revision;
  /** Undefined deletes. */
  readonly body: Uint8Array | undefined;
  /** The change without its position, see entry.ts. */
  readonly entry: string;
  /** Every session of the device is closed. */
  readonly closesAll: boolean;
  /** When something about it falls due. */
  readonly dueMs: number | undefined;
  /** The credentials that it has then; last uses of others are dropped. */
  readonly credentialIds: readonly CredentialId[];
  /** Key and content; it keeps the content behind the revision. */
  readonly replay: { readonly key: string; readonly content: string } | undefined;
  readonly storeId: string;
};

/** What the function answers. `replay` is what an earlier write with the same key left: `revision content`. */
export type WriteReply =
  | { readonly outcome: 'WRITTEN' | 'CONFLICT'; readonly revision: Revision }
  | { readonly outcome: 'REPLAYED'; readonly replay: string };

function unexpected(name: string): StoreUnavailable {
  return new StoreUnavailable(`Redis gave an unexpected reply to ${name}`);
}

/** The reply as a list of strings. Throws a StoreUnavailable when it is none. */
export function strings(reply: Reply, name: string): readonly string[] {
  if (!Array.isArray(reply) || !reply.every((item) => typeof item === 'string')) throw unexpected(name);
  return reply;
}

/** Loads the functions; `REPLACE` puts this version in the place of any other, otherwise what is there stays. */
export async function loadFunctions(caller: Caller, mode: 'REPLACE' | 'KEEP'): Promise<void> {
  if (mode === 'REPLACE') {
    await caller.call(['FUNCTION', 'LOAD', 'REPLACE', SOURCE]);
    return;
  }
  const libraries = await caller.call(['FUNCTION', 'LIST', 'LIBRARYNAME', 'latchkey']);
  if (Array.isArray(libraries) && libraries.length > 0) return;
  await caller.call(['FUNCTION', 'LOAD', 'REPLACE', SOURCE]);
}

/** Record, revision, log entry, index rows, replay and message as one step. */
export async function callWrite(caller: Caller, shard: ShardKeys, write: WriteCall): Promise<WriteReply> {
  const { key, replay } = write;
  const ids = isTrustKey(key) ? shard.trust : shard.ids;
  const keys = [recordKey(shard, key), shard.log, ids, shard.overdue, usesKey(shard, key)];
  if (replay !== undefined && !isTrustKey(key)) keys.push(replayKey(shard, key, replay.key));
  const reply = await caller.call([
    ...['FCALL', 'lk_write', String(keys.length), ...keys, key, String(write.expectedRevision)],
    bytesOf(write.body),
    write.entry,
    write.closesAll ? '1' : '0',
    write.dueMs === undefined ? '' : String(write.dueMs),
    replay?.content ?? '',
    channelOf(shard, write.storeId),
    write.credentialIds.join(' '),
  ]);
  const [outcome, detail] = strings(reply, 'lk_write');
  if (outcome === 'R' && detail !== undefined) return { outcome: 'REPLAYED', replay: detail };
  if (outcome === 'W') return { outcome: 'WRITTEN', revision: toRevision(Number(detail)) };
  if (outcome === 'C') return { outcome: 'CONFLICT', revision: toRevision(Number(detail)) };
  throw unexpected('lk_write');
}

/** The log after a place, at most `limit` entries; `end` is the log's own end. */
export async function callLog(caller: Caller, shard: ShardKeys, after: LogPlace, limit: number): Promise<LogSlice> {
  const place = [String(after.position), after.nonce];
  const reply = await caller.call(['FCALL_RO', 'lk_log', '1', shard.log, ...place, String(limit)]);
  const [known, last, ...texts] = strings(reply, 'lk_log');
  const entries = known === '1' ? texts.map((text) => changeOf(text, shard.shard)) : undefined;
  return { entries, end: endOf(last ?? '', shard.shard) };
}

/** Replaces the body of the record at `key` if its revision is still the expected one; says whether it did. */
export async function callReseal(
  caller: Caller,
  key: string,
  expectedRevision: Revision,
  body: Uint8Array,
): Promise<boolean> {
  return (await caller.call(['FCALL', 'lk_reseal', '1', key, String(expectedRevision), bytesOf(body)])) === 1;
}

/** What a heartbeat learns of one shard. */
export type Pulse = {
  /** The reported entry stands in the log. */
  readonly known: boolean;
  /** Every member has reported this position, or a later one. */
  readonly floor: number;
  /** The log's last entry. */
  readonly end: LogPlace;
};

/** What a heartbeat learns; a shard that the server could not answer for has the refusal in its place. */
export type HeartbeatReply = {
  /** The server's wall clock, milliseconds since the epoch. */
  readonly serverMs: number;
  readonly pulses: readonly (Pulse | string)[];
};

/** Reports how far a replica has taken in the logs of some shards of one server, and learns how far all others are. */
export async function callHeartbeat(
  caller: Caller,
  replica: string,
  shards: readonly { readonly keys: ShardKeys; readonly place: LogPlace }[],
): Promise<HeartbeatReply> {
  const places = shards.flatMap(({ keys, place }) => [keys.tag, String(place.position), place.nonce]);
  const log = shards[0]?.keys.log ?? '';
  const reply = strings(await caller.call(['FCALL', 'lk_heartbeat', '1', log, replica, ...places]), 'lk_heartbeat');
  if (reply.length !== 1 + 3 * shards.length) throw unexpected('lk_heartbeat');
  const pulses = shards.map(({ keys }, index) => {
    const [known, floor = '', last = ''] = reply.slice(1 + 3 * index);
    if (known === '!') return floor;
    return { known: known === '1', floor: Number(floor), end: endOf(last, keys.shard) };
  });
  return { serverMs: Number(reply[0]), pulses };
}

/** Marks the members that have not reported a position, and names them. */
export async function callSuspect(
  caller: Caller,
  { members, suspects }: ShardKeys,
  position: number,
  token: string,
): Promise<readonly string[]> {
  const reply = await caller.call(['FCALL', 'lk_suspect', '2', members, suspects, String(position), token]);
  return strings(reply, 'lk_suspect');
}

/** Takes out the members that still carry the mark; answers how many. */
export async function callEvict(
  caller: Caller,
  { members, suspects }: ShardKeys,
  token: string,
  replicas: readonly string[],
): Promise<number> {
  return Number(await caller.call(['FCALL', 'lk_evict', '2', members, suspects, token, ...replicas]));
}

/** Takes a replica out that decides no more. */
export async function callLeave(caller: Caller, { members, suspects }: ShardKeys, replica: string): Promise<void> {
  await caller.call(['FCALL', 'lk_leave', '2', members, suspects, replica]);
}

/** The place that stands behind a change. */
export function placeOf(change: Change): LogPlace {
  return { position: change.position, nonce: change.nonce };
}

/** The log's end, from its last entry; an empty log ends before the first one. */
function endOf(last: string, shard: number): LogPlace {
  return last === '' ? { position: 0, nonce: '' } : placeOf(changeOf(last, shard));
}

function changeOf(text: string, shard: number): Change {
  const change = parseEntry(text, shard);
  if (change === undefined) throw new StoreUnavailable('Redis holds a log entry that cannot be read');
  return change;
}

function bytesOf(body: Uint8Array | undefined): Buffer {
  return body === undefined ? Buffer.alloc(0) : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}
