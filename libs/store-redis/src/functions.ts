import { readFileSync } from 'node:fs';
import { type DeviceId, type Revision, toRevision } from '@latchkey/kernel';
import { type Change, type LogPlace, type LogSlice, StoreUnavailable } from '@latchkey/store';
import { parseEntry } from './entry.ts';
import { channelOf, IDS_KEY, LOG_KEY, OVERDUE_KEY, recordKey, replayKey } from './keys.ts';
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
  const end = last === undefined || last === '' ? { position: 0, nonce: '' } : placeOf(changeOf(last));
  return { entries: known === '1' ? texts.map(changeOf) : undefined, end };
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

/** The place that stands behind a change. */
export function placeOf(change: Change): LogPlace {
  return { position: change.position, nonce: change.nonce };
}

function changeOf(text: string): Change {
  const change = parseEntry(text);
  if (change === undefined) throw new StoreUnavailable('Redis holds a log entry that cannot be read');
  return change;
}

function bytesOf(body: Uint8Array | undefined): Buffer {
  return body === undefined ? Buffer.alloc(0) : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}
