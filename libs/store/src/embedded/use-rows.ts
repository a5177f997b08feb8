import type { DatabaseSync } from 'node:sqlite';
import type { LastUses } from '@latchkey/credential';
import type { CredentialId, DeviceId } from '@latchkey/kernel';
import { USE_BLIND_MS, USE_SILENCE_MS, type Use, type UseReport } from '../uses.ts';
import { numberIn, textIn } from './columns.ts';

// In `use_reports` the row without a name says until when uses may have gone unnoticed.
const BLIND = '';

/** The writes of last uses, within the transaction of their caller. */
export type UseRows = {
  readonly note: (uses: readonly Use[]) => true;
  readonly told: (report: Omit<UseReport, 'uses'>) => true;
  readonly end: (replica: string) => true;
  /** Drops what is known of all other credentials of the device. */
  readonly prune: (deviceId: DeviceId, credentialIds: readonly CredentialId[]) => void;
};

/** The writes of last uses over the writing connection. */
export function makeUseRows(database: DatabaseSync): UseRows {
  const insertUse = database.prepare(`
    INSERT INTO uses SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM devices WHERE id = ?1)
    ON CONFLICT DO UPDATE SET at_ms = max(at_ms, excluded.at_ms)`);
  const deleteOthers = database.prepare('DELETE FROM uses WHERE device_id = ? AND credential_id NOT IN (?, ?)');
  const raise = database.prepare(`
    INSERT INTO use_reports VALUES (?, ?)
    ON CONFLICT DO UPDATE SET complete_ms = max(complete_ms, excluded.complete_ms)`);
  const selectSilent = database.prepare(
    `SELECT coalesce(max(complete_ms), 0) AS ms FROM use_reports WHERE replica <> '${BLIND}' AND complete_ms <= ?`,
  );
  const deleteSilent = database.prepare(`DELETE FROM use_reports WHERE replica <> '${BLIND}' AND complete_ms <= ?`);
  const deleteReport = database.prepare('DELETE FROM use_reports WHERE replica = ?');
  return {
    note: (uses) => {
      for (const { deviceId, credentialId, atMs } of uses) insertUse.run(deviceId, credentialId, atMs);
      return true;
    },
    told: ({ replica, completeToMs, lostUntilMs }) => {
      raise.run(replica, completeToMs);
      if (lostUntilMs > 0) raise.run(BLIND, lostUntilMs);
      const silentMs = numberIn(selectSilent.get(completeToMs - USE_SILENCE_MS) ?? {}, 'ms');
      if (silentMs > 0) {
        raise.run(BLIND, silentMs + USE_BLIND_MS);
        deleteSilent.run(completeToMs - USE_SILENCE_MS);
      }
      return true;
    },
    end: (replica) => {
      deleteReport.run(replica);
      return true;
    },
    prune: (deviceId, [first = '', second = '']) => {
      deleteOthers.run(deviceId, first, second);
    },
  };
}

/** The reads of last uses over the reading connection. */
export function makeLastUses(database: DatabaseSync): (deviceIds: readonly DeviceId[]) => LastUses {
  const selectUses = database.prepare('SELECT credential_id, at_ms FROM uses WHERE device_id = ?');
  const selectBlind = database.prepare(`SELECT complete_ms FROM use_reports WHERE replica = '${BLIND}'`);
  return (deviceIds) => {
    const rows = deviceIds.flatMap((deviceId) => selectUses.all(deviceId));
    const blind = selectBlind.get();
    return {
      lastUsedAtMs: new Map(rows.map((row) => [textIn(row, 'credential_id') as CredentialId, numberIn(row, 'at_ms')])),
      blindUntilMs: blind === undefined ? 0 : numberIn(blind, 'complete_ms'),
    };
  };
}
