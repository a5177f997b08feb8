import type { LastUses } from '@latchkey/credential';
import type { CredentialId, DeviceId } from '@latchkey/kernel';
import { StoreUnavailable, USE_BLIND_MS, USE_SILENCE_MS, type UseReport } from '@latchkey/store';
import { strings } from './functions.ts';
import { recordKey, type ShardKeys, usesKey } from './keys.ts';
import type { Rows } from './rows.ts';

/** Devices of one call: it holds up Redis for well under a millisecond. */
const DEVICES_A_CALL = 256;

/** Hash of replicas, with the time in ms until which each one's reports are complete; '' is time without reports. */
function reportsKey({ tag }: ShardKeys): string {
  return `lk:{${tag}}:use-reports`;
}

/** Items by the place that they belong to, in slices of one call. */
function slicesOf<T>(items: readonly T[], placeOf: (item: T) => Rows): readonly (readonly [Rows, readonly T[]])[] {
  const byTag = Map.groupBy(items, (item) => placeOf(item).keys.tag);
  return [...byTag.values()].flatMap((group) =>
    Array.from({ length: Math.ceil(group.length / DEVICES_A_CALL) }, (_, index) => {
      const slice = group.slice(index * DEVICES_A_CALL, (index + 1) * DEVICES_A_CALL);
      return [placeOf(group[0] as T), slice] as const;
    }),
  );
}

/** Notes the uses of a report, then how far it is complete; `first` holds what is known of replicas. */
export async function reportUses(report: UseReport, placeOf: (deviceId: DeviceId) => Rows, first: Rows): Promise<void> {
  const slices = slicesOf(report.uses, ({ deviceId }) => placeOf(deviceId));
  await Promise.all(
    slices.map(([{ keys, caller }, slice]) => {
      const names = slice.flatMap(({ deviceId }) => [recordKey(keys, deviceId), usesKey(keys, deviceId)]);
      const values = slice.flatMap(({ credentialId, atMs }) => [credentialId, String(atMs)]);
      return caller.call(['FCALL', 'lk_uses', String(names.length), ...names, ...values]);
    }),
  );
  const { replica, completeToMs, lostUntilMs } = report;
  const times = [completeToMs, lostUntilMs, USE_SILENCE_MS, USE_BLIND_MS].map(String);
  await first.caller.call(['FCALL', 'lk_uses_told', '1', reportsKey(first.keys), replica, ...times]);
}

/** Takes a replica out whose reports are complete for good. */
export async function endUses(replica: string, first: Rows): Promise<void> {
  await first.caller.call(['HDEL', reportsKey(first.keys), replica]);
}

/** The last uses of these devices' credentials. */
export async function lastUses(
  deviceIds: readonly DeviceId[],
  placeOf: (deviceId: DeviceId) => Rows,
  first: Rows,
): Promise<LastUses> {
  const blind = first.caller.call(['HGET', reportsKey(first.keys), '']);
  const parts = await Promise.all(
    slicesOf(deviceIds, placeOf).map(async ([{ keys, caller }, slice]) => {
      const names = slice.map((deviceId) => usesKey(keys, deviceId));
      return strings(await caller.call(['FCALL_RO', 'lk_last_uses', String(names.length), ...names]), 'lk_last_uses');
    }),
  );
  return { lastUsedAtMs: new Map(parts.flatMap(pairsOf)), blindUntilMs: timeOf(String((await blind) ?? 0)) };
}

function pairsOf(reply: readonly string[]): readonly (readonly [CredentialId, number])[] {
  return Array.from({ length: reply.length / 2 }, (_, index) => [
    String(reply[2 * index]) as CredentialId,
    timeOf(reply[2 * index + 1]),
  ]);
}

function timeOf(text: string | undefined): number {
  const ms = Number(text);
  if (!Number.isSafeInteger(ms) || ms < 0) throw new StoreUnavailable('Redis holds a last use that cannot be read');
  return ms;
}
