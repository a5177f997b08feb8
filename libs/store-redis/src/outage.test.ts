import { setTimeout as pause } from 'node:timers/promises';
import { NO_REVISION } from '@latchkey/kernel';
import { type Store, StoreUnavailable } from '@latchkey/store';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { device, heardBy, newKeyring, openOn, withClient, writeOf } from './fixture.ts';
import { type RedisServer, startRedisServer } from './redis-server.ts';

const keyring = newKeyring();
const RECOVERY = { timeout: 20_000, interval: 50 };
let server: RedisServer;
let store: Store;

beforeEach(async () => {
  server = await startRedisServer({ appendfsync: 'always' });
  store = await openOn(server, keyring);
});
afterEach(async () => {
  await store.close();
  await server.stop();
});

/** How long `work` took to reject with a StoreUnavailable, in ms. */
async function refusedAfter(work: Promise<unknown>): Promise<number> {
  const start = performance.now();
  await expect(work).rejects.toBeInstanceOf(StoreUnavailable);
  return performance.now() - start;
}

test('a Redis that is killed comes back with everything, and the store goes on', async () => {
  const heard = heardBy(store);
  const names = Array.from({ length: 50 }, (_, index) => device(`d${index}`));
  await Promise.all(names.map((name) => store.write(writeOf(name))));
  await server.kill();
  await expect.poll(() => store.lease.holds()).toBe(false);
  await refusedAfter(store.read(device('d0')));
  await refusedAfter(store.write(writeOf(device('e0'))));
  await server.restart();
  expect(await store.lease.waitFor(5_000)).toBe(true);
  await expect.poll(() => store.read(device('d0')).catch(() => undefined), RECOVERY).toBeDefined();
  const records = await Promise.all(names.map((name) => store.read(name)));
  expect(records.map((record) => record?.deviceId)).toEqual(names);
  const { revision } = await store.write(writeOf(device('e0')));
  expect(revision).toBe(51);
  expect(heard.map((change) => change?.position)).toEqual(Array.from({ length: 51 }, (_, index) => index + 1));
});

test('a Redis that hangs is refused within the deadline and serves again when it goes on', async () => {
  await store.write(writeOf(device('a')));
  server.signal('SIGSTOP');
  const tookMs = await Promise.all([
    refusedAfter(store.read(device('a'))),
    refusedAfter(store.write(writeOf(device('b')))),
  ]);
  expect(Math.max(...tookMs)).toBeLessThan(1_000);
  expect(Math.min(...tookMs)).toBeGreaterThan(600);
  // What was granted before may be used up.
  await expect.poll(() => store.lease.holds()).toBe(false);
  await pause(700);
  expect(await refusedAfter(store.read(device('a')))).toBeLessThan(100);
  server.signal('SIGCONT');
  await expect.poll(() => store.lease.holds(), RECOVERY).toBe(true);
  await expect.poll(() => store.read(device('a')).catch(() => undefined), RECOVERY).toMatchObject({ deviceId: 'a' });
  expect((await store.write(writeOf(device('c')))).outcome).toBe('WRITTEN');
});

test('connections that are cut again and again lose no change and double none', async () => {
  const writer = await openOn(server, keyring);
  const heard = heardBy(store);
  const total = 300;
  await withClient(server, async (command) => {
    for (let n = 0; n < total; n++) {
      if (n % 30 === 7) await command('CLIENT', 'KILL', 'TYPE', 'pubsub', 'SKIPME', 'yes');
      await expect.poll(() => writer.write(writeOf(device(`d${n}`))).catch(() => undefined)).toBeDefined();
    }
  });
  const { end } = await writer.log(0, { position: 0, nonce: '' }, 1);
  await expect.poll(() => heard.at(-1)?.position, RECOVERY).toBe(end.position);
  expect(heard.map((change) => change?.position)).toEqual(Array.from({ length: end.position }, (_, n) => n + 1));
  expect(end.position).toBeGreaterThanOrEqual(total);
  await writer.close();
});

test('a short cut is bridged: calls wait for the new connection, and the lease goes on', async () => {
  await store.write(writeOf(device('a')));
  await withClient(server, (command) => command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'));
  await withClient(server, (command) => command('CLIENT', 'KILL', 'TYPE', 'pubsub', 'SKIPME', 'yes'));
  const held = [store.lease.holds()];
  expect((await store.write(writeOf(device('b')))).outcome).toBe('WRITTEN');
  held.push(store.lease.holds());
  expect(held).toEqual([true, true]);
  expect(await store.read(device('a'))).toMatchObject({ deviceId: 'a' });
});

test('when the log no longer shows what was missed, listeners hear that changes are lost', async () => {
  const heard = heardBy(store);
  await store.write(writeOf(device('a')));
  await withClient(server, async (command) => {
    await command('MULTI');
    await command('CLIENT', 'KILL', 'TYPE', 'pubsub', 'SKIPME', 'yes');
    await command('XADD', 'lk:{0}:log', '0-*', 'e', 'missed1 UPDATED - z');
    await command('XADD', 'lk:{0}:log', '0-*', 'e', 'missed2 UPDATED - z');
    await command('XTRIM', 'lk:{0}:log', 'MAXLEN', '1');
    await command('EXEC');
  });
  await expect.poll(() => heard.length, RECOVERY).toBe(2);
  expect(heard[1]).toBeUndefined();
  const { revision } = await store.write(writeOf(device('b')));
  expect(revision).toBe(4);
  expect(heard.slice(2).map((change) => change?.position)).toEqual([4]);
});

test('a log with another history is not taken for the one that was followed', async () => {
  const heard = heardBy(store);
  await store.write(writeOf(device('a')));
  await withClient(server, async (command) => {
    await command('MULTI');
    await command('CLIENT', 'KILL', 'TYPE', 'pubsub', 'SKIPME', 'yes');
    await command('DEL', 'lk:{0}:log');
    await command('XADD', 'lk:{0}:log', '0-*', 'e', 'other1 UPDATED - z');
    await command('XADD', 'lk:{0}:log', '0-*', 'e', 'other2 UPDATED - z');
    await command('EXEC');
  });
  await expect.poll(() => heard.length, RECOVERY).toBe(2);
  expect(heard[1]).toBeUndefined();
});

test('a Redis that came back empty is not taken for the store', async () => {
  await store.write(writeOf(device('a')));
  await withClient(server, async (command) => {
    await command('FLUSHALL');
    await command('CLIENT', 'KILL', 'TYPE', 'pubsub', 'SKIPME', 'yes');
    await command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  });
  await expect.poll(() => store.lease.holds()).toBe(false);
  const refusal = () => store.read(device('a')).catch((error: Error) => error.message);
  await expect.poll(refusal, RECOVERY).toContain('this Redis has lost the store');
  expect(store.lease.holds()).toBe(false);
});

test('close lets what runs end and refuses what comes after', async () => {
  const writes = Array.from({ length: 20 }, (_, n) => store.write(writeOf(device(`d${n}`))));
  const closing = store.close();
  await expect(store.read(device('a'))).rejects.toThrow('the store is closed');
  await closing;
  const results = await Promise.all(writes);
  expect(results.every(({ outcome }) => outcome === 'WRITTEN')).toBe(true);
  await expect(store.settled(device('a'), results[0]?.revision ?? NO_REVISION)).rejects.toBeInstanceOf(
    StoreUnavailable,
  );
  expect(store.lease.holds()).toBe(false);
  expect(await store.lease.waitFor(10)).toBe(false);
});
