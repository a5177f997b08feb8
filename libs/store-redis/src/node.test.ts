import { StoreUnavailable } from '@latchkey/store';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { command, device, newKeyring, openOn, writeOf } from './fixture.ts';
import { untilReplicated } from './redis-sentinel.ts';
import { type RedisServer, startRedisServer } from './redis-server.ts';
import { startProxy } from './test-proxy.ts';

// Reads and heartbeats come from one and the same process.

const keyring = newKeyring();
const RECOVERY = { timeout: 20_000, interval: 20 };
let old: RedisServer;
let next: RedisServer;

beforeAll(async () => {
  old = await startRedisServer({ appendfsync: 'everysec' });
  next = await startRedisServer({ appendfsync: 'everysec', args: ['--replicaof', '127.0.0.1', String(old.port)] });
  await untilReplicated(old, 1);
});
afterAll(async () => {
  await Promise.all([old.stop(), next.stop()]);
});

test('no read comes from a server that was replaced, whichever connection ends first', async () => {
  const proxy = await startProxy(old.port);
  const store = await openOn({ url: proxy.url }, keyring);
  const { revision } = await store.write(writeOf(device('a')));
  await untilReplicated(old, 1);
  await command(old, 'WAIT', '1', '1000');
  await command(next, 'REPLICAOF', 'NO', 'ONE');
  // Only the control connection, the third of all, leads to the successor; new ones for reads still lead to the old one.
  proxy.target = (number) => (number % 2 === 1 ? next.port : old.port);
  proxy.cut(1);
  await expect.poll(() => store.read(device('a')).catch((error) => error), RECOVERY).toBeInstanceOf(StoreUnavailable);
  await expect
    .poll(() => store.read(device('a')).catch((error: Error) => error.message), RECOVERY)
    .toContain('two connections lead to two different servers');
  await expect.poll(() => store.lease.holds(), RECOVERY).toBe(false);
  const other = await openOn(next, keyring);
  const { revision: newer } = await other.write(writeOf(device('a'), revision));
  proxy.target = () => next.port;
  const recovered = async () => (await store.read(device('a')))?.revision;
  await expect.poll(() => recovered().catch(() => undefined), RECOVERY).toBe(newer);
  expect(await store.lease.waitFor(2_000)).toBe(true);
  // The connection for reads ends: the one for heartbeats is made anew, too.
  const before = await clients(next);
  proxy.target = () => old.port;
  await command(old, 'REPLICAOF', '127.0.0.1', String(next.port));
  proxy.cut();
  await expect
    .poll(() => store.read(device('a')).catch((error: Error) => error.message), RECOVERY)
    .toContain('replica');
  expect(await clients(next)).toBeLessThan(before);
  await expect.poll(() => store.lease.holds(), RECOVERY).toBe(false);
  await Promise.all([store.close(), other.close()]);
  await proxy.stop();
});

test('the two connections end together, and two others take their place', async () => {
  const proxy = await startProxy(old.port);
  await command(old, 'REPLICAOF', 'NO', 'ONE');
  const store = await openOn({ url: proxy.url }, keyring);
  const read = () => store.read(device('none')).then(() => 'ANSWERED', String);
  for (const which of [0, 1]) {
    await expect.poll(() => proxy.open().length, RECOVERY).toBe(2);
    const before = [...proxy.open()];
    proxy.cut(before[which] ?? -1);
    await expect.poll(() => proxy.open().filter((number) => before.includes(number)), RECOVERY).toEqual([]);
    await expect.poll(read, RECOVERY).toBe('ANSWERED');
    expect(await store.lease.waitFor(2_000)).toBe(true);
  }
  await store.close();
  await proxy.stop();
});

async function clients(server: RedisServer): Promise<number> {
  const list = String(await command(server, 'CLIENT', 'LIST', 'TYPE', 'normal'));
  return list.split('\n').length;
}
