import { type CredentialId, type DeviceId, parseDeviceId, type Revision, toRevision } from '@latchkey/kernel';
import { type Replay, StoreUnavailable } from '@latchkey/store';
import { strings } from './functions.ts';
import type { ShardKeys } from './keys.ts';
import type { Caller, Reply } from './session.ts';

function deviceIds(reply: Reply): readonly DeviceId[] {
  return strings(reply, 'ZRANGE').map((text) => {
    const deviceId = parseDeviceId(text);
    if (deviceId === undefined) throw new StoreUnavailable('an index in Redis holds what is no device id');
    return deviceId;
  });
}

/** Where the rows of one shard are read. */
export type Rows = { readonly keys: ShardKeys; readonly caller: Caller };

/** A page of device ids of all shards in their order; `next` is the last one when more follow. */
export async function idsPage(
  shards: readonly Rows[],
  query: { readonly after: DeviceId | undefined; readonly prefix: string; readonly limit: number },
): Promise<{ readonly ids: readonly DeviceId[]; readonly next: DeviceId | undefined }> {
  const { after, prefix, limit } = query;
  const from = after !== undefined && after >= prefix ? `(${after}` : `[${prefix}`;
  // DEL sorts behind every character of a device id.
  const to = prefix === '' ? '+' : `(${prefix}\x7f`;
  const range = [from, to, 'BYLEX', 'LIMIT', '0', String(limit + 1)];
  const pages = await Promise.all(
    shards.map(async ({ keys, caller }) => deviceIds(await caller.call(['ZRANGE', keys.ids, ...range]))),
  );
  // Ids are ASCII: the order of their characters is that of their bytes.
  const found = pages.length === 1 ? (pages[0] ?? []) : pages.flat().sort((a, b) => (a < b ? -1 : 1));
  const ids = found.slice(0, limit);
  return { ids, next: found.length > limit ? ids.at(-1) : undefined };
}

/** Devices whose activation deadline is not after `nowMs`, the oldest deadline first. */
export async function overdueIds(shards: readonly Rows[], nowMs: number, limit: number): Promise<readonly DeviceId[]> {
  const range = ['-inf', String(nowMs), 'BYSCORE', 'LIMIT', '0', String(limit), 'WITHSCORES'];
  const pages = await Promise.all(
    shards.map(async ({ keys, caller }) => deadlines(await caller.call(['ZRANGE', keys.overdue, ...range]))),
  );
  const found = pages.flat().sort((a, b) => a.deadlineMs - b.deadlineMs);
  return deviceIds(found.slice(0, limit).map(({ id }) => id));
}

function deadlines(reply: Reply): readonly { readonly id: unknown; readonly deadlineMs: number }[] {
  if (!Array.isArray(reply)) throw new StoreUnavailable('Redis gave an unexpected reply to ZRANGE');
  return reply.map((row: unknown) => {
    const [id, deadlineMs] = Array.isArray(row) ? row : [];
    return { id, deadlineMs: Number(deadlineMs) };
  });
}

/** A replay as it is kept behind the revision. */
export function replayContent(replay: Replay): string {
  return JSON.stringify([replay.parameters, replay.credentialId ?? null]);
}

/** What `revision content` says. Throws a StoreUnavailable when it is damaged. */
export function parseReplay(key: string, text: string): { readonly revision: Revision; readonly replay: Replay } {
  const space = text.indexOf(' ');
  const content: unknown = JSON.parse(text.slice(space + 1));
  if (!Array.isArray(content) || typeof content[0] !== 'string') {
    throw new StoreUnavailable('Redis holds the answer to a repeated write that cannot be read');
  }
  const [parameters, credentialId] = content;
  const made = typeof credentialId === 'string' ? (credentialId as CredentialId) : undefined;
  return { revision: toRevision(Number(text.slice(0, space))), replay: { key, parameters, credentialId: made } };
}
