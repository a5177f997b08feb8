import type { DatabaseSync } from 'node:sqlite';
import { isTrustKey } from '@latchkey/credential';
import { assertNever, type CredentialId, type Revision, toRevision } from '@latchkey/kernel';
import { withHeader } from '../record.ts';
import { REPLAY_WINDOW_MS, type RecordKey, type Replay, type WriteResult } from '../store.ts';
import { numberIn, type Row, textIn } from './columns.ts';
import type { Command, Outcome, WriteCommand } from './commands.ts';
import { makeRecordRows } from './record-rows.ts';
import { makeUseRows } from './use-rows.ts';

/** Entries that the log keeps; a follower that is further behind reads everything anew. 100,000 take about 10 MB. */
export const LOG_MAX_ENTRIES = 100_000;

/** An earlier write, known by its replay key. */
export type Replayed = { readonly revision: Revision; readonly replay: Replay };

/** What a row of `replays` says. */
export function replayedFrom(row: Row, key: string): Replayed {
  const credentialId = row['credential_id'];
  return {
    revision: toRevision(numberIn(row, 'revision')),
    replay: {
      key,
      parameters: textIn(row, 'parameters'),
      credentialId: typeof credentialId === 'string' ? (credentialId as CredentialId) : undefined,
    },
  };
}

/** The query for a replay that is young enough; takes device id, key and the time before which it is too old. */
export const SELECT_REPLAY =
  'SELECT parameters, credential_id, revision FROM replays WHERE device_id = ? AND key = ? AND written_ms > ?';

function statementsOf(database: DatabaseSync) {
  return {
    selectEnd: database.prepare('SELECT coalesce(max(position), 0) AS position FROM log'),
    append: database.prepare('INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)'),
    trim: database.prepare('DELETE FROM log WHERE position <= ?'),
    selectReplay: database.prepare(SELECT_REPLAY),
    putReplay: database.prepare('INSERT OR REPLACE INTO replays VALUES (?, ?, ?, ?, ?, ?)'),
    expireReplays: database.prepare('DELETE FROM replays WHERE written_ms <= ?'),
    keep: database.prepare('INSERT OR IGNORE INTO kept VALUES (?, ?)'),
    selectKept: database.prepare('SELECT value FROM kept WHERE name = ?'),
    forget: database.prepare('DELETE FROM kept WHERE name = ?'),
  };
}

/** Makes the function that carries out commands, in order, in one transaction: all of them or, when it throws, none. */
export function makeApply(database: DatabaseSync): (commands: readonly Command[]) => readonly Outcome[] {
  const sql = statementsOf(database);
  const { selectEnd, append, trim, selectReplay, putReplay, expireReplays, keep, selectKept, forget } = sql;
  const records = makeRecordRows(database);
  const useRows = makeUseRows(database);

  function write(command: WriteCommand): WriteResult {
    const { expectedRevision, body, dueMs, change, replay, nowMs } = command;
    const { key, effect } = change;
    if (replay !== undefined) {
      const row = selectReplay.get(key, replay.key, nowMs - REPLAY_WINDOW_MS);
      if (row !== undefined) return { outcome: 'REPLAYED', ...replayedFrom(row, replay.key) };
    }
    const before = records.header(key);
    if (before.revision !== expectedRevision) return { outcome: 'CONFLICT', revision: before.revision };
    const revision = toRevision(numberIn(selectEnd.get() ?? {}, 'position') + 1);
    if (body === undefined) records.remove(key);
    else {
      const closedAt = effect.close === 'DEVICE' ? revision : before.sessionsClosedAt;
      records.put(key, withHeader(body, revision, closedAt), dueMs);
    }
    if (!isTrustKey(key)) useRows.prune(key, command.credentialIds);
    const closed = effect.close === 'CREDENTIAL' ? effect.credentialId : null;
    append.run(revision, change.nonce, key, change.kind, effect.close, closed);
    trim.run(revision - LOG_MAX_ENTRIES);
    if (replay !== undefined) {
      expireReplays.run(nowMs - REPLAY_WINDOW_MS);
      putReplay.run(key, replay.key, replay.parameters, replay.credentialId ?? null, revision, nowMs);
    }
    return { outcome: 'WRITTEN', revision };
  }

  function reseal(key: RecordKey, revision: Revision, body: Uint8Array): boolean {
    const before = records.header(key);
    if (before.revision !== revision) return false;
    records.replace(key, withHeader(body, revision, before.sessionsClosedAt));
    return true;
  }

  function apply(command: Command): Outcome {
    switch (command.kind) {
      case 'WRITE':
        return write(command);
      case 'KEEP':
        keep.run(command.name, command.value);
        return textIn(selectKept.get(command.name) ?? {}, 'value');
      case 'FORGET':
        forget.run(command.name);
        return true;
      case 'USES':
        return useRows.note(command.uses);
      case 'USES_TOLD':
        return useRows.told(command);
      case 'USES_END':
        return useRows.end(command.replica);
      case 'RESEAL':
        return reseal(command.key, command.revision, command.body);
      default:
        return assertNever(command);
    }
  }

  return (commands) => inTransaction(database, () => commands.map(apply));
}

function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  try {
    const outcome = work();
    database.exec('COMMIT');
    return outcome;
  } catch (error) {
    // SQLite has rolled back by itself after some errors; then this would throw and hide the cause.
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}
