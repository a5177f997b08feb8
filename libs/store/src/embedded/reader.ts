import type { DatabaseSync } from 'node:sqlite';
import type { LastUses, TrustKey } from '@latchkey/credential';
import { type CredentialId, type DeviceId, toRevision } from '@latchkey/kernel';
import {
  CHANGE_KINDS,
  type Change,
  type LogPlace,
  type LogSlice,
  type RecordKey,
  type SessionEffect,
} from '../store.ts';
import { type Replayed, replayedFrom, SELECT_REPLAY } from './apply.ts';
import { bytesIn, numberIn, type Row, textIn } from './columns.ts';
import { makeLastUses } from './use-rows.ts';

/** A record as it is stored. */
export type StoredRecord = { readonly deviceId: DeviceId; readonly bytes: Uint8Array };

/** Synchronous reads; each sees everything that was committed before it. */
export type Reader = {
  readonly record: (deviceId: DeviceId) => Uint8Array | undefined;
  readonly trust: (key: TrustKey) => Uint8Array | undefined;
  /** The trust sets that there are. */
  readonly trustKeys: () => readonly TrustKey[];
  readonly page: (after: string, prefix: string, limit: number) => readonly StoredRecord[];
  readonly overdue: (nowMs: number, limit: number) => readonly DeviceId[];
  readonly log: (after: LogPlace, limit: number) => LogSlice;
  readonly lastUses: (deviceIds: readonly DeviceId[]) => LastUses;
  readonly kept: (name: string) => string | undefined;
  readonly replayed: (deviceId: DeviceId, key: string, notBeforeMs: number) => Replayed | undefined;
};

function effectFrom(row: Row): SessionEffect {
  const close = textIn(row, 'close');
  if (close === 'NONE' || close === 'DEVICE' || close === 'CERTIFICATES') return { close };
  return { close: 'CREDENTIAL', credentialId: textIn(row, 'credential_id') as CredentialId };
}

function changeFrom(row: Row): Change {
  const kind = CHANGE_KINDS.find((known) => known === textIn(row, 'kind'));
  if (kind === undefined) throw new TypeError('the log has an entry of an unknown kind');
  return {
    position: toRevision(numberIn(row, 'position')),
    shard: 0,
    nonce: textIn(row, 'nonce'),
    key: textIn(row, 'device_id') as RecordKey,
    kind,
    effect: effectFrom(row),
  };
}

function placeFrom(row: Row | undefined): LogPlace {
  if (row === undefined) return { position: 0, nonce: '' };
  return { position: numberIn(row, 'position'), nonce: textIn(row, 'nonce') };
}

function makeLog(database: DatabaseSync): Reader['log'] {
  const selectEnd = database.prepare('SELECT position, nonce FROM log ORDER BY position DESC LIMIT 1');
  const selectFirst = database.prepare('SELECT position FROM log ORDER BY position LIMIT 1');
  const selectPlace = database.prepare('SELECT nonce FROM log WHERE position = ?');
  const selectEntries = database.prepare('SELECT * FROM log WHERE position > ? ORDER BY position LIMIT ?');

  function isKnown({ position, nonce }: LogPlace): boolean {
    if (position > 0) return selectPlace.get(position)?.['nonce'] === nonce;
    const first = selectFirst.get();
    return position === 0 && nonce === '' && (first === undefined || numberIn(first, 'position') === 1);
  }

  return (after, limit) => {
    // One snapshot: the writer may commit between two statements.
    database.exec('BEGIN');
    try {
      const end = placeFrom(selectEnd.get());
      if (!isKnown(after)) return { entries: undefined, end };
      return { entries: selectEntries.all(after.position, limit).map(changeFrom), end };
    } finally {
      database.exec('COMMIT');
    }
  };
}

/** The reads of the embedded store over its reading connection. */
export function makeReader(database: DatabaseSync): Reader {
  const selectRecord = database.prepare('SELECT record FROM devices WHERE id = ?');
  const selectTrust = database.prepare('SELECT record FROM trust WHERE key = ?');
  const selectTrustKeys = database.prepare('SELECT key FROM trust');
  const selectPage = database.prepare(
    'SELECT id, record FROM devices WHERE id > ? AND id >= ? AND id < ? ORDER BY id LIMIT ?',
  );
  const selectOverdue = database.prepare('SELECT id FROM devices WHERE due_ms <= ? ORDER BY due_ms LIMIT ?');
  const selectKept = database.prepare('SELECT value FROM kept WHERE name = ?');
  const selectReplay = database.prepare(SELECT_REPLAY);
  return {
    record: (deviceId) => {
      const row = selectRecord.get(deviceId);
      return row === undefined ? undefined : bytesIn(row, 'record');
    },
    trust: (key) => {
      const row = selectTrust.get(key);
      return row === undefined ? undefined : bytesIn(row, 'record');
    },
    trustKeys: () => selectTrustKeys.all().map((row) => textIn(row, 'key') as TrustKey),
    // Every character of an id sorts before DEL.
    page: (after, prefix, limit) =>
      selectPage
        .all(after, prefix, `${prefix}\x7f`, limit)
        .map((row) => ({ deviceId: textIn(row, 'id') as DeviceId, bytes: bytesIn(row, 'record') })),
    overdue: (nowMs, limit) => selectOverdue.all(nowMs, limit).map((row) => textIn(row, 'id') as DeviceId),
    lastUses: makeLastUses(database),
    log: makeLog(database),
    kept: (name) => {
      const row = selectKept.get(name);
      return row === undefined ? undefined : textIn(row, 'value');
    },
    replayed: (deviceId, key, notBeforeMs) => {
      const row = selectReplay.get(deviceId, key, notBeforeMs);
      return row === undefined ? undefined : replayedFrom(row, key);
    },
  };
}
