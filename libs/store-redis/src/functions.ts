import { readFileSync } from 'node:fs';
import { type DeviceId, type Revision, toRevision } from '@latchkey/kernel';
import { type Change, type LogPlace, type LogSlice, StoreUnavailable } from '@latchkey/store';
import { parseEntry } from './entry.ts';
import { channelOf, IDS_KEY, LOG_KEY, MEMBERS_KEY, OVERDUE_KEY, recordKey, replayKey, SUSPECTS_KEY } from './keys.ts';
import type { Caller, Reply } from './session.ts';

const SOURCE = readFileSync(new URL('./functions.lua', import.meta.url), 'utf8');

/** One write as the function takes it. */
export type WriteCall = {
  readonly deviceId: DeviceId;
  readonly expectedRevision: Revision;
  /** Undefined deletes. */
  readonly body: Uint8Array | undefined;
  /** The change without its position, see entry.ts. */
  readonly entry: string;
  /** Every session of the device is closed. */
  readonly closesAll: boolean;
  readonly activationDeadlineMs: number | undefined;
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
export async function callWrite(caller: Caller, write: WriteCall): Promise<WriteReply> {
  const { deviceId, replay } = write;
  const keys = [recordKey(deviceId), LOG_KEY, IDS_KEY, OVERDUE_KEY];
  if (replay !== undefined) keys.push(replayKey(deviceId, replay.key));
  const reply = await caller.call([
    ...['FCALL', 'lk_write', String(keys.length), ...keys, deviceId, String(write.expectedRevision)],
    bytesOf(write.body),
    write.entry,
    write.closesAll ? '1' : '0',
    write.activationDeadlineMs === undefined ? '' : String(write.activationDeadlineMs),
    replay?.content ?? '',
    channelOf(write.storeId),
  ]);
  const [outcome, detail] = strings(reply, 'lk_write');
  if (outcome === 'R' && detail !== undefined) return { outcome: 'REPLAYED', replay: detail };
  if (outcome === 'W') return { outcome: 'WRITTEN', revision: toRevision(Number(detail)) };
  if (outcome === 'C') return { outcome: 'CONFLICT', revision: toRevision(Number(detail)) };
  throw unexpected('lk_write');
}

/** The log after a place, at most `limit` entries; `end` is the log's own end. */
export async function callLog(caller: Caller, after: LogPlace, limit: number): Promise<LogSlice> {
  const reply = await caller.call([
    'FCALL_RO',
    'lk_log',
    '1',
    LOG_KEY,
    String(after.position),
    after.nonce,
    String(limit),
  ]);
  const [known, last, ...texts] = strings(reply, 'lk_log');
  return { entries: known === '1' ? texts.map(changeOf) : undefined, end: endOf(last ?? '') };
}

/** Replaces a record's body if its revision is still the expected one; says whether it did. */
export async function callReseal(
  caller: Caller,
  deviceId: DeviceId,
  expectedRevision: Revision,
  body: Uint8Array,
): Promise<boolean> {
  const key = recordKey(deviceId);
  return (await caller.call(['FCALL', 'lk_reseal', '1', key, String(expectedRevision), bytesOf(body)])) === 1;
}

/** What a heartbeat learns. */
export type HeartbeatReply = {
  /** The reported entry stands in the log. */
  readonly known: boolean;
  /** Every member has reported this position, or a later one. */
  readonly floor: number;
  /** The log's last entry. */
  readonly end: LogPlace;
  /** The server's wall clock, milliseconds since the epoch. */
  readonly serverMs: number;
};

/** Reports how far a replica has taken in the log, and learns how far it goes and how far all others are. */
export async function callHeartbeat(
  caller: Caller,
  replica: string,
  { position, nonce }: LogPlace,
): Promise<HeartbeatReply> {
  const keys = [LOG_KEY, MEMBERS_KEY, SUSPECTS_KEY];
  const reply = await caller.call(['FCALL', 'lk_heartbeat', '3', ...keys, replica, String(position), nonce]);
  const [known, floor, last, serverMs] = strings(reply, 'lk_heartbeat');
  if (floor === undefined || last === undefined || serverMs === undefined) throw unexpected('lk_heartbeat');
  return { known: known === '1', floor: Number(floor), end: endOf(last), serverMs: Number(serverMs) };
}

/** Marks the members that have not reported a position, and names them. */
export async function callSuspect(caller: Caller, position: number, token: string): Promise<readonly string[]> {
  const reply = await caller.call(['FCALL', 'lk_suspect', '2', MEMBERS_KEY, SUSPECTS_KEY, String(position), token]);
  return strings(reply, 'lk_suspect');
}

/** Takes out the members that still carry the mark; answers how many. */
export async function callEvict(caller: Caller, token: string, replicas: readonly string[]): Promise<number> {
  return Number(await caller.call(['FCALL', 'lk_evict', '2', MEMBERS_KEY, SUSPECTS_KEY, token, ...replicas]));
}

/** Takes a replica out that decides no more. */
export async function callLeave(caller: Caller, replica: string): Promise<void> {
  await caller.call(['FCALL', 'lk_leave', '2', MEMBERS_KEY, SUSPECTS_KEY, replica]);
}

/** The place that stands behind a change. */
export function placeOf(change: Change): LogPlace {
  return { position: change.position, nonce: change.nonce };
}

/** The log's end, from its last entry; an empty log ends before the first one. */
function endOf(last: string): LogPlace {
  return last === '' ? { position: 0, nonce: '' } : placeOf(changeOf(last));
}

function changeOf(text: string): Change {
  const change = parseEntry(text);
  if (change === undefined) throw new StoreUnavailable('Redis holds a log entry that cannot be read');
  return change;
}

function bytesOf(body: Uint8Array | undefined): Buffer {
  return body === undefined ? Buffer.alloc(0) : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}
