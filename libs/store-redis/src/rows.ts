import { type CredentialId, type DeviceId, parseDeviceId, type Revision, toRevision } from '@latchkey/kernel';
import { type Replay, StoreUnavailable } from '@latchkey/store';
import { strings } from './functions.ts';
import { IDS_KEY, OVERDUE_KEY } from './keys.ts';
import type { Caller, Reply } from './session.ts';

function deviceIds(reply: Reply): readonly DeviceId[] {
  return strings(reply, 'ZRANGE').map((text) => {
    const deviceId = parseDeviceId(text);
    if (deviceId === undefined) throw new StoreUnavailable('an index in Redis holds what is no device id');
    return deviceId;
  });
}

/** A page of device ids in their order; `next` is the last one when more follow. */
export async function idsPage(
  caller: Caller,
  query: { readonly after: DeviceId | undefined; readonly prefix: string; readonly limit: number },
): Promise<{ readonly ids: readonly DeviceId[]; readonly next: DeviceId | undefined }> {
  const { after, prefix, limit } = query;
  const from = after !== undefined && after >= prefix ? `(${after}` : `[${prefix}`;
  // DEL sorts behind every character of a device id.
  const to = prefix === '' ? '+' : `(${prefix}\x7f`;
  const reply = await caller.call(['ZRANGE', IDS_KEY, from, to, 'BYLEX', 'LIMIT', '0', String(limit + 1)]);
  const found = deviceIds(reply);
  const ids = found.slice(0, limit);
  return { ids, next: found.length > limit ? ids.at(-1) : undefined };
}

/** Devices whose activation deadline is not after `nowMs`, the oldest deadline first. */
export async function overdueIds(caller: Caller, nowMs: number, limit: number): Promise<readonly DeviceId[]> {
  const range = ['-inf', String(nowMs), 'BYSCORE', 'LIMIT', '0', String(limit)];
  return deviceIds(await caller.call(['ZRANGE', OVERDUE_KEY, ...range]));
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
