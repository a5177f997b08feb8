import type { DatabaseSync } from 'node:sqlite';
import { isTrustKey } from '@latchkey/credential';
import { NO_REVISION } from '@latchkey/kernel';
import { HEADER_BYTES, headerOf, type RecordHeader } from '../record.ts';
import type { RecordKey } from '../store.ts';
import { bytesIn } from './columns.ts';

/** The rows of records, as the writing thread has them: devices in one table, trust sets in another. */
export type RecordRows = {
  /** Revision 0: there is no record. */
  readonly header: (key: RecordKey) => RecordHeader;
  /** Writes a record; `dueMs` is when its device is overdue. */
  readonly put: (key: RecordKey, record: Uint8Array, dueMs: number | undefined) => void;
  /** Writes a record that falls due when it did before. */
  readonly replace: (key: RecordKey, record: Uint8Array) => void;
  readonly remove: (key: RecordKey) => void;
};

/** The rows over the writing connection. */
export function makeRecordRows(database: DatabaseSync): RecordRows {
  const select = database.prepare('SELECT record FROM devices WHERE id = ?');
  const put = database.prepare('INSERT OR REPLACE INTO devices (id, record, due_ms) VALUES (?, ?, ?)');
  const replace = database.prepare('UPDATE devices SET record = ? WHERE id = ?');
  const remove = database.prepare('DELETE FROM devices WHERE id = ?');
  const selectSet = database.prepare('SELECT record FROM trust WHERE key = ?');
  const putSet = database.prepare('INSERT OR REPLACE INTO trust (key, record) VALUES (?, ?)');
  const removeSet = database.prepare('DELETE FROM trust WHERE key = ?');
  return {
    header: (key) => {
      const row = isTrustKey(key) ? selectSet.get(key) : select.get(key);
      if (row === undefined) return { revision: NO_REVISION, sessionsClosedAt: NO_REVISION };
      return headerOf(bytesIn(row, 'record').subarray(0, HEADER_BYTES), key);
    },
    put: (key, record, dueMs) => {
      if (isTrustKey(key)) putSet.run(key, record);
      else put.run(key, record, dueMs ?? null);
    },
    replace: (key, record) => {
      if (isTrustKey(key)) putSet.run(key, record);
      else replace.run(record, key);
    },
    remove: (key) => {
      (isTrustKey(key) ? removeSet : remove).run(key);
    },
  };
}
