import { statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { systemClock, systemRandom } from '@latchkey/kernel';
import { checkKeys, type Keyring, openEmbeddedStore, type Store } from '@latchkey/store';
import { deviceIdOf } from './devices.ts';
import type { Load, Range } from './fleet-records.ts';
import type { Processes } from './processes.ts';

/** What the log keeps, as the store trims it. */
const LOG_ENTRIES = 100_000;

const NONCE_BYTES = 9;

/** An embedded store that grows by bulk loads. */
export type EmbeddedFleet = {
  /** Opens the store as the auth service does. */
  readonly open: () => Promise<Store>;
  /** Begins a load, in one transaction. No store may be open. */
  readonly begin: () => Promise<Load>;
  /** The size of the database on the disk, bytes. */
  readonly bytes: () => number;
};

/** Makes an empty store in a directory of the run, under these keys. */
export async function makeEmbeddedFleet(processes: Processes, keyring: Keyring): Promise<EmbeddedFleet> {
  const directory = processes.directory();
  const path = join(directory, 'latchkey.sqlite');
  const open = async () => {
    const store = await openEmbeddedStore({ directory, keyring, clock: systemClock, random: systemRandom });
    processes.add(store.close); // a suite that fails leaves it open
    return store;
  };
  const made = await open();
  await checkKeys(made, keyring);
  await made.close();
  return { open, begin: async () => loadInto(path), bytes: () => statSync(path).size };
}

/**
 * What a crash would leave is thrown away with the run, so that nothing is synced. Not in the store's own mode, which would write
 * all of it twice; opening the store brings that back.
 */
function loadInto(path: string): Load {
  const database = new DatabaseSync(path);
  database.exec('PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF; BEGIN');
  const put = database.prepare('INSERT INTO devices (id, record, due_ms) VALUES (?, ?, NULL)');
  return {
    put: async (devices) => {
      for (const { deviceId, record } of devices) put.run(deviceId, record);
    },
    finish: async (range) => {
      writeLog(database, range);
      database.exec('COMMIT');
      database.close();
    },
  };
}

/** As if each device had been created by a write of its own, its position its index and one, and the log trimmed since. */
function writeLog(database: DatabaseSync, { from, to }: Range): void {
  const append = database.prepare("INSERT INTO log VALUES (?, ?, ?, 'CREATED', 'NONE', NULL)");
  database.exec('DELETE FROM log');
  for (let index = Math.max(from, to - LOG_ENTRIES); index < to; index++) {
    append.run(index + 1, Buffer.from(systemRandom(NONCE_BYTES)).toString('base64url'), deviceIdOf(index));
  }
}
