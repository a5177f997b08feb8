import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createClient, RESP_TYPES, type RedisArgument } from 'redis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { device, newKeyring, openOn, stateOf, writeOf } from './fixture.ts';
import { type RedisServer, startRedisServer } from './redis-server.ts';

// What lies in Redis and in its files, looked at from outside.

const PRIMARY = 'CANARYprimaryCANARYprimaryCANARY';
const SECONDARY = 'CANARYsecondaryCANARYsecondaryCA';
/** Budget per device at 1 million devices: two sealed secrets of 32 characters, indexes not counted. */
const RECORD_BUDGET_BYTES = 350;

let server: RedisServer;
let keys: readonly string[];
let dumps: readonly Buffer[];

async function filesUnder(directory: string): Promise<readonly Buffer[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return Promise.all(files.map((file) => readFile(join(file.parentPath, file.name))));
}

async function command(...args: RedisArgument[]): Promise<unknown> {
  const client = createClient({ url: server.url });
  await client.connect();
  try {
    return await client.sendCommand(args, { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } });
  } finally {
    client.destroy();
  }
}

beforeAll(async () => {
  server = await startRedisServer();
  const store = await openOn(server, newKeyring());
  const deviceId = device('meter-00000000000000001');
  const state = stateOf(deviceId, PRIMARY, SECONDARY);
  const replay = { key: 'operator/3f6c', parameters: 'hash', credentialId: undefined };
  await store.write(writeOf(deviceId, undefined, { state, replay }));
  await store.keep('check', 'value');
  await store.close();
  await command('SAVE');
  const found = await command('KEYS', '*');
  keys = Array.isArray(found) ? found.map(String) : [];
  const values = await Promise.all(keys.map((key) => command('DUMP', key)));
  const inMemory = values.filter((value): value is Buffer => value instanceof Buffer);
  dumps = [...inMemory, ...(await filesUnder(server.directory))];
});
afterAll(() => server.stop());

test('every key of one write carries the tag of its device', () => {
  expect([...keys].sort()).toEqual([
    'lk:store',
    'lk:{0}:d:meter-00000000000000001',
    'lk:{0}:ids',
    'lk:{0}:k:check',
    'lk:{0}:log',
    'lk:{0}:overdue',
    'lk:{0}:r:meter-00000000000000001:operator/3f6c',
  ]);
});

test('no secret lies in a key, a value, the append-only file or a dump', () => {
  expect(dumps.some((dump) => dump.includes('meter-00000000000000001'))).toBe(true);
  expect(dumps.length).toBeGreaterThan(keys.length + 2);
  for (const dump of dumps) expect(dump.includes('CANARY')).toBe(false);
  expect(keys.join()).not.toContain('CANARY');
});

test('a record with two sealed secrets takes no more than its budget', async () => {
  const bytes = await command('MEMORY', 'USAGE', 'lk:{0}:d:meter-00000000000000001');
  expect(bytes).toBeGreaterThan(100);
  expect(bytes).toBeLessThanOrEqual(RECORD_BUDGET_BYTES);
});
