import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock, systemRandom } from '@latchkey/kernel';
import type { Store } from '@latchkey/store';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseRedisUrl } from './address.ts';
import { command, device, heardBy, newKeyring, onlyShard, openOn, writeOf } from './fixture.ts';
import { callEvict, callHeartbeat, callSuspect } from './functions.ts';
import { WAIT_MS } from './lease.ts';
import { type RedisServer, startRedisServer } from './redis-server.ts';
import { openRedisStore } from './redis-store.ts';
import { openSession } from './session.ts';
import { startProxy } from './test-proxy.ts';

const keyring = newKeyring();
/** A full wait, and what a busy machine takes. */
const FULL_MS = WAIT_MS + 250;
let server: RedisServer;
let opened: Store[];

beforeEach(async () => {
  server = await startRedisServer();
  opened = [];
});
afterEach(async () => {
  await Promise.all(opened.map((store) => store.close()));
  await server.stop();
});

async function open(url = server.url): Promise<Store> {
  const store = await openOn({ url }, keyring);
  opened.push(store);
  return store;
}

/** How long a write takes to be settled, ms. */
async function settledMs(store: Store, name: string): Promise<number> {
  const { revision } = await store.write(writeOf(device(name)));
  const begun = performance.now();
  await store.settled(device(name), revision);
  return performance.now() - begun;
}

test('a young connection waits in full, an old one for the others alone', async () => {
  const [first] = await Promise.all([open(), open(), open()]);
  expect(await settledMs(first, 'young')).toBeGreaterThanOrEqual(WAIT_MS - 1);
  await sleep(50);
  const times: number[] = [];
  for (let at = 0; at < 50; at++) times.push(await settledMs(first, `old-${at}`));
  expect(Math.max(...times)).toBeLessThan(WAIT_MS);
  expect(first.figures()).toMatchObject({ settled_early: 50, settled_full: 1, leases_held: 1, log_position: 51 });
});

test('a replica that hangs holds writes up by a full wait until it is taken out, and is let in again', async () => {
  const proxy = await startProxy(server.port);
  const [store, other] = await Promise.all([open(), open(proxy.url)]);
  await settledMs(store, 'young');
  await sleep(50);
  proxy.hang(true);
  const first = await settledMs(store, 'first');
  expect(first).toBeGreaterThanOrEqual(WAIT_MS - 1);
  expect(first).toBeLessThan(FULL_MS);
  expect(other.lease.holds()).toBe(false);
  expect(await settledMs(store, 'second')).toBeLessThan(FULL_MS);
  await expect.poll(() => store.figures()['replicas_evicted'], { timeout: 20_000 }).toBe(1);
  expect(await settledMs(store, 'third')).toBeLessThan(WAIT_MS / 2);
  proxy.hang(false);
  expect(await other.lease.waitFor(5_000)).toBe(true);
  expect(await other.read(device('third'))).toMatchObject({ deviceId: 'third' });
  await proxy.stop();
});

test('a replica that closes is not waited for', async () => {
  const [store, other] = await Promise.all([open(), open()]);
  await settledMs(store, 'young');
  await sleep(50);
  await other.close();
  expect(await command(server, 'ZCARD', onlyShard().members)).toBe(1);
  expect(await settledMs(store, 'after')).toBeLessThan(WAIT_MS / 2);
  await store.close();
  expect(await command(server, 'ZCARD', onlyShard().members)).toBe(0);
});

test('a suspect that sends a heartbeat is not taken out, one that does not is', async () => {
  const session = await openSession(parseRedisUrl(server.url));
  const keys = onlyShard();
  const store = await open();
  const { revision } = await store.write(writeOf(device('a')));
  await store.close();
  const { end } = await (await open()).log(0, { position: 0, nonce: '' }, 1);
  const beat = (replica: string) => callHeartbeat(session, replica, [{ keys, place: { position: 0, nonce: '' } }]);
  for (const replica of ['alive', 'dead']) {
    await beat(replica); // registers at the end of the log
    await beat(replica); // reports that it is behind
  }
  expect(end.position).toBe(revision);
  expect([...(await callSuspect(session, keys, revision, 'token'))].sort()).toEqual(['alive', 'dead']);
  await beat('alive');
  expect(await callEvict(session, keys, 'other', ['alive', 'dead'])).toBe(0);
  expect(await callEvict(session, keys, 'token', ['alive', 'dead'])).toBe(1);
  expect(await command(server, 'ZSCORE', keys.members, 'dead')).toBeNull();
  expect(await command(server, 'ZSCORE', keys.members, 'alive')).not.toBeNull();
  session.end('done');
});

test('a log that is gone is told as lost, and there is no lease', async () => {
  const store = await open();
  await store.write(writeOf(device('a')));
  const heard = heardBy(store);
  await command(server, 'DEL', onlyShard().log);
  await expect.poll(() => heard, { timeout: 20_000 }).toEqual([undefined]);
  await command(server, 'FLUSHALL');
  await command(server, 'CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await command(server, 'CLIENT', 'KILL', 'TYPE', 'pubsub', 'SKIPME', 'yes');
  await expect.poll(() => store.lease.holds()).toBe(false);
  expect(await store.lease.waitFor(300)).toBe(false);
  expect(store.figures()).toMatchObject({ leases_held: 0, shards_connected: 0, lease_waits_failed: 1 });
});

test('a replica an hour off Redis decides nothing, and one near it does', async () => {
  const clock = { ...systemClock, now: () => systemClock.now() - 3_600_000 };
  const wrong = await openRedisStore({ url: server.url, keyring, clock, random: systemRandom });
  opened.push(wrong);
  expect(wrong.lease.holds()).toBe(false);
  expect(await wrong.lease.waitFor(300)).toBe(false);
  expect((await open()).lease.holds()).toBe(true);
});
