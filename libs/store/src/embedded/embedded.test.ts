import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isTrustKey } from '@latchkey/credential';
import { systemClock, systemRandom } from '@latchkey/kernel';
import { afterEach, describe, expect, test } from 'vitest';
import { id, keyringOf, writeOf, written } from '../contract/fixtures.ts';
import { type StoreHarness, storeContract } from '../contract.ts';
import type { Keyring } from '../keyring.ts';
import { REPLAY_WINDOW_MS, type Store, StoreUnavailable } from '../store.ts';
import { LOG_MAX_ENTRIES } from './apply.ts';
import { openEmbeddedStore } from './embedded.ts';
import { QUEUE_MAX_COMMANDS } from './queue.ts';

const real = { clock: systemClock, random: systemRandom };
const START = { position: 0, nonce: '' };
const directories: string[] = [];
const stores: Store[] = [];

function newDirectory(): string {
  const directory = join(mkdtempSync(join(tmpdir(), 'latchkey-store-')), 'data');
  directories.push(directory);
  return directory;
}

async function opened(directory: string, options: Partial<Parameters<typeof openEmbeddedStore>[0]> = {}) {
  const store = await openEmbeddedStore({ directory, keyring: keyringOf('k1'), ...real, ...options });
  stores.push(store);
  return store;
}

function sql<T>(directory: string, step: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(join(directory, 'latchkey.sqlite'), { timeout: 1_000 });
  try {
    return step(database);
  } finally {
    database.close();
  }
}

afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  for (const directory of directories.splice(0)) rmSync(join(directory, '..'), { recursive: true });
});

storeContract('embedded store', async (keyring): Promise<StoreHarness> => {
  const directory = join(mkdtempSync(join(tmpdir(), 'latchkey-store-')), 'data');
  let store = await openEmbeddedStore({ directory, keyring, ...real });
  return {
    store,
    reopen: async (other: Keyring) => {
      await store.close();
      store = await openEmbeddedStore({ directory, keyring: other, ...real });
      return store;
    },
    // By another process: closing a file here would drop the locks that SQLite holds on it.
    dump: async () => execFileSync('sh', ['-c', 'cat "$1"/*', 'sh', directory], { maxBuffer: 2 ** 28 }),
    overwrite: async (key, bytes) => {
      const [table, name] = isTrustKey(key) ? ['trust', 'key'] : ['devices', 'id'];
      sql(directory, (database) =>
        database.prepare(`UPDATE ${table} SET record = ? WHERE ${name} = ?`).run(bytes, key),
      );
    },
    dispose: async () => {
      await store.close();
      rmSync(join(directory, '..'), { recursive: true });
    },
  };
});

describe('data directory', () => {
  test('it is made for its owner alone, files included', async () => {
    const directory = newDirectory();
    const store = await opened(directory);
    await written(store, writeOf(id('one')));
    const names = readdirSync(directory);
    const modes = names.map((name) => (statSync(join(directory, name)).mode & 0o777).toString(8));
    expect((statSync(directory).mode & 0o777).toString(8)).toBe('700');
    expect(names).toContain('latchkey.sqlite-wal');
    expect(modes).toEqual(names.map(() => '600'));
  });

  test('only one store may have it, until that one is closed', async () => {
    const directory = newDirectory();
    const store = await opened(directory);
    const second = opened(directory);
    await expect(second).rejects.toThrow(StoreUnavailable);
    await expect(second).rejects.toThrow(`the data directory ${directory} is in use by another process`);
    await written(store, writeOf(id('one')));
    await store.close();
    const third = await opened(directory);
    expect((await third.log(0, START, 10)).entries).toHaveLength(1);
  });

  test('another process is refused too', async () => {
    const directory = newDirectory();
    await opened(directory);
    const lock = new URL('./lock.ts', import.meta.url).href;
    const script = `(await import(${JSON.stringify(lock)})).lockDirectory(${JSON.stringify(directory)})`;
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    expect(status).toBe(1);
    expect(stderr).toContain(`the data directory ${directory} is in use by another process`);
  });

  test.each([
    ['text', (path: string) => writeFileSync(path, 'no database at all '.repeat(100)), 'not a database'],
    ['another program', (path: string) => new DatabaseSync(path).exec('CREATE TABLE t (x)'), 'made by another program'],
  ])('a file with %s is refused and not touched', async (_, spoil, reason) => {
    const directory = newDirectory();
    const store = await opened(directory);
    await store.close();
    rmSync(join(directory, 'latchkey.sqlite'));
    spoil(join(directory, 'latchkey.sqlite'));
    await expect(opened(directory)).rejects.toThrow(
      `${join(directory, 'latchkey.sqlite')} is no store of this version`,
    );
    await expect(opened(directory)).rejects.toThrow(reason);
  });

  test('a newer schema is refused', async () => {
    const directory = newDirectory();
    await (await opened(directory)).close();
    sql(directory, (database) => database.exec('PRAGMA user_version = 2'));
    await expect(opened(directory)).rejects.toThrow('it has schema 2, this program knows 1');
  });
});

describe('bounds', () => {
  test('a replay is forgotten after its window', async () => {
    let nowMs = 1_000_000;
    const store = await opened(newDirectory(), { clock: { ...systemClock, now: () => nowMs } });
    const replay = { key: 'operator/request', parameters: 'hash', credentialId: undefined };
    const revision = await written(store, writeOf(id('one'), { replay }));
    nowMs += REPLAY_WINDOW_MS - 1;
    expect(await store.replayed(id('one'), replay.key)).toEqual({ revision, replay });
    nowMs += 1;
    expect(await store.replayed(id('one'), replay.key)).toBeUndefined();
    expect(await written(store, writeOf(id('one'), { replay, expectedRevision: revision }))).toBe(2);
  });

  test('old replays leave the database', async () => {
    let nowMs = 1_000_000;
    const directory = newDirectory();
    const store = await opened(directory, { clock: { ...systemClock, now: () => nowMs } });
    const replay = { key: 'operator/request', parameters: 'hash', credentialId: undefined };
    await written(store, writeOf(id('one'), { replay }));
    nowMs += REPLAY_WINDOW_MS;
    await written(store, writeOf(id('two'), { replay }));
    const rows = sql(directory, (database) => database.prepare('SELECT device_id FROM replays').all());
    expect(rows).toEqual([{ device_id: 'two' }]);
  });

  test('the log keeps its newest entries, and a place before them is unknown', async () => {
    const directory = newDirectory();
    await (await opened(directory)).close();
    sql(directory, (database) => {
      database.exec(`INSERT INTO log WITH RECURSIVE n(p) AS (SELECT 1 UNION ALL SELECT p + 1 FROM n WHERE p < ${LOG_MAX_ENTRIES})
        SELECT p, 'n' || p, 'one', 'UPDATED', 'NONE', NULL FROM n`);
    });
    const store = await opened(directory);
    expect((await store.log(0, START, 1)).entries).toHaveLength(1);
    expect(await written(store, writeOf(id('one')))).toBe(LOG_MAX_ENTRIES + 1);
    expect((await store.log(0, START, 1)).entries).toBeUndefined();
    expect((await store.log(0, { position: 1, nonce: 'n1' }, 1)).entries).toBeUndefined();
    expect((await store.log(0, { position: 2, nonce: 'n2' }, 1)).entries?.[0]?.position).toBe(3);
  });

  test('a full queue refuses, and takes again what was taken before', async () => {
    const store = await opened(newDirectory());
    const calls = Array.from({ length: QUEUE_MAX_COMMANDS + 5 }, (_, index) => store.keep('name', `value-${index}`));
    const results = await Promise.allSettled(calls);
    const refused = results.filter((result) => result.status === 'rejected');
    expect(refused).toHaveLength(5);
    expect(refused[0]?.reason).toBeInstanceOf(StoreUnavailable);
    expect(await store.keep('name', 'other')).toBe('value-0');
  });

  test('what was taken before the end is written', async () => {
    const directory = newDirectory();
    const store = await opened(directory);
    const writes = Array.from({ length: 2_000 }, (_, index) => written(store, writeOf(id(`device-${index}`))));
    await store.close();
    expect((await Promise.all(writes)).toSorted((a, b) => a - b).at(-1)).toBe(2_000);
    const rows = sql(directory, (database) => database.prepare('SELECT count(*) AS rows FROM devices').get());
    expect(rows).toEqual({ rows: 2_000 });
  });
});
