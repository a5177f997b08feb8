import { setTimeout as sleep } from 'node:timers/promises';
import { NO_REVISION, toRevision } from '@latchkey/kernel';
import type { Store } from '@latchkey/store';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { device, newKeyring, openOn, writeOf } from './fixture.ts';
import { WAIT_MS } from './lease.ts';
import { type RedisServer, startRedisServer } from './redis-server.ts';

const keyring = newKeyring();
let server: RedisServer;
let stores: Store[];

beforeEach(async () => {
  server = await startRedisServer();
  stores = await Promise.all([openOn(server, keyring), openOn(server, keyring), openOn(server, keyring)]);
});
afterEach(async () => {
  await Promise.all(stores.map((store) => store.close()));
  await server.stop();
});

async function settledMs(store: Store, name: string): Promise<number> {
  const result = await store.write(writeOf(device(name)));
  const begun = performance.now();
  await store.settled(device(name), result.outcome === 'REPLAYED' ? NO_REVISION : result.revision);
  return performance.now() - begun;
}

test('a young connection waits in full, an old one for the others alone', async () => {
  const [first] = stores;
  if (first === undefined) throw new Error('no store');
  expect(await settledMs(first, 'young')).toBeGreaterThanOrEqual(WAIT_MS - 1);
  await sleep(WAIT_MS);
  const times: number[] = [];
  for (let at = 0; at < 50; at++) times.push(await settledMs(first, `old-${at}`));
  console.log('settle ms', times.sort((a, b) => a - b).at(25), times.at(-1));
  expect(Math.max(...times)).toBeLessThan(WAIT_MS);
  expect(toRevision(1)).toBe(1);
});
