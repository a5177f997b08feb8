import { afterAll, beforeAll, expect, test } from 'vitest';
import { command, device, laidDown, newKeyring, openOn, stateOf, writeOf } from './fixture.ts';
import { type RedisServer, startRedisServer } from './redis-server.ts';

// What lies in Redis and in its files, looked at from outside.

const PRIMARY = 'CANARYprimaryCANARYprimaryCANARY';
const SECONDARY = 'CANARYsecondaryCANARYsecondaryCA';
/** Budget per device at 1 million devices: two sealed secrets of 32 characters, indexes not counted. */
const RECORD_BUDGET_BYTES = 350;

let server: RedisServer;
let keys: readonly string[];
let dump: Buffer;

beforeAll(async () => {
  server = await startRedisServer();
  const store = await openOn(server, newKeyring());
  const deviceId = device('meter-00000000000000001');
  const state = stateOf(deviceId, PRIMARY, SECONDARY);
  const replay = { key: 'operator/3f6c', parameters: 'hash', credentialId: undefined };
  await store.write(writeOf(deviceId, undefined, { state, replay }));
  await store.keep('check', 'value');
  await store.close();
  const found = await command(server, 'KEYS', '*');
  keys = Array.isArray(found) ? found.map(String) : [];
  dump = await laidDown(server);
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
  expect(dump.includes('meter-00000000000000001')).toBe(true);
  expect(dump.includes('FUNCTION')).toBe(true);
  expect(dump.includes('REDIS0010')).toBe(true);
  expect(dump.includes('CANARY')).toBe(false);
});

test('a record with two sealed secrets takes no more than its budget', async () => {
  const bytes = await command(server, 'MEMORY', 'USAGE', 'lk:{0}:d:meter-00000000000000001');
  expect(bytes).toBeGreaterThan(100);
  expect(bytes).toBeLessThanOrEqual(RECORD_BUDGET_BYTES);
});
