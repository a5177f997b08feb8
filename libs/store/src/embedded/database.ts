import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Random } from '@latchkey/kernel';
import { StoreUnavailable } from '../store.ts';
import { numberIn, textIn } from './columns.ts';
import { createPrivateFile } from './lock.ts';

// "LKEY": marks the file as a store of ours (SQLite's application_id).
const APPLICATION_ID = 0x4c4b4559;
const SCHEMA_VERSION = 1;
const STORE_ID_BYTES = 16;
// A checkpoint may hold the file for a moment; nothing else is ever waited for.
const BUSY_TIMEOUT_MS = 5_000;

const SCHEMA = `
  CREATE TABLE identity (store_id TEXT NOT NULL) STRICT;
  CREATE TABLE devices (id TEXT PRIMARY KEY, record BLOB NOT NULL, due_ms INTEGER) STRICT, WITHOUT ROWID;
  CREATE INDEX devices_due ON devices (due_ms) WHERE due_ms IS NOT NULL;
  CREATE TABLE log (
    position INTEGER PRIMARY KEY, nonce TEXT NOT NULL, device_id TEXT NOT NULL, kind TEXT NOT NULL,
    close TEXT NOT NULL, credential_id TEXT
  ) STRICT;
  CREATE TABLE replays (
    device_id TEXT NOT NULL, key TEXT NOT NULL, parameters TEXT NOT NULL, credential_id TEXT,
    revision INTEGER NOT NULL, written_ms INTEGER NOT NULL, PRIMARY KEY (device_id, key)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX replays_written ON replays (written_ms);
  CREATE TABLE kept (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
`;

// Made where they are missing: they came later than the rest.
const LATER_SCHEMA = `
  CREATE TABLE IF NOT EXISTS trust (key TEXT PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS uses (
    device_id TEXT NOT NULL, credential_id TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (device_id, credential_id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS use_reports (replica TEXT PRIMARY KEY, complete_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
`;

function pathIn(directory: string): string {
  return join(directory, 'latchkey.sqlite');
}

function pragma(database: DatabaseSync, name: string): number {
  return numberIn(database.prepare(`PRAGMA ${name}`).get() ?? {}, name);
}

function createSchema(database: DatabaseSync, random: Random): void {
  database.exec('BEGIN IMMEDIATE');
  database.exec(SCHEMA);
  const storeId = Buffer.from(random(STORE_ID_BYTES)).toString('base64url');
  database.prepare('INSERT INTO identity VALUES (?)').run(storeId);
  database.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
  database.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
  database.exec('COMMIT');
}

function prepare(database: DatabaseSync, random: Random): string {
  if (pragma(database, 'schema_version') === 0) createSchema(database, random);
  if (pragma(database, 'application_id') !== APPLICATION_ID) throw new Error('it was made by another program');
  const version = pragma(database, 'user_version');
  if (version !== SCHEMA_VERSION) throw new Error(`it has schema ${version}, this program knows ${SCHEMA_VERSION}`);
  database.exec(LATER_SCHEMA);
  database.exec('SELECT max(position) FROM log; SELECT max(id) FROM devices');
  return textIn(database.prepare('SELECT store_id FROM identity').get() ?? {}, 'store_id');
}

/**
 * Makes the database in a locked directory if there is none, and answers its store id. Throws a StoreUnavailable when
 * the file is damaged, of another program or of another version.
 */
export function prepareDatabase(directory: string, random: Random): string {
  const path = pathIn(directory);
  createPrivateFile(path);
  chmodSync(path, 0o600);
  const database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
  try {
    return prepare(database, random);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StoreUnavailable(
      `${path} is no store of this version: ${reason}; restore it from a backup, or move it away to begin anew`,
      { cause },
    );
  } finally {
    database.close();
  }
}

/** The connection that writes: a commit returns when it is on the disk. */
export function openWriter(directory: string): DatabaseSync {
  const database = new DatabaseSync(pathIn(directory), { timeout: BUSY_TIMEOUT_MS });
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
  return database;
}

/** The connection that reads; it sees every commit at once. Open it after the writer, which makes the log file. */
export function openReader(directory: string): DatabaseSync {
  return new DatabaseSync(pathIn(directory), { readOnly: true, timeout: BUSY_TIMEOUT_MS });
}
