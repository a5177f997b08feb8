import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { StoreUnavailable } from '@latchkey/store';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { addressText, parseRedisUrl } from './address.ts';
import { device, newKeyring, openOn, withClient, writeOf } from './fixture.ts';
import { durabilityWarnings, refusalOf } from './greeting.ts';
import { type RedisServer, startRedisServer } from './redis-server.ts';

const keyring = newKeyring();
let server: RedisServer;

beforeAll(async () => {
  server = await startRedisServer({ args: ['--requirepass', 'hunter22'] });
});
afterAll(() => server.stop());

/** The message of the StoreUnavailable that opening ends with. */
async function refusal(url: string): Promise<string> {
  const error = await openOn({ url }, keyring).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(StoreUnavailable);
  return String(error);
}

test('a URL is read into its parts', () => {
  expect(parseRedisUrl('redis://localhost')).toEqual({
    host: 'localhost',
    port: 6379,
    tls: false,
    username: undefined,
    password: undefined,
    database: 0,
  });
  expect(parseRedisUrl('rediss://op:p%40ss@[::1]:7000/3')).toEqual({
    host: '::1',
    port: 7000,
    tls: true,
    username: 'op',
    password: 'p@ss',
    database: 3,
  });
  expect(addressText(parseRedisUrl('redis://[::1]:7000'))).toBe('[::1]:7000');
});

test.each([
  ['', 'not a Redis URL'],
  ['localhost:6379', 'begins with redis:// or rediss://'],
  ['http://hunter22@localhost', 'begins with redis:// or rediss://'],
  ['redis://', 'names no host'],
  ['redis://:hunter22@localhost:99999', 'not a Redis URL'],
  ['redis://:hunter22@localhost/x', 'database'],
  ['redis://:hunter22@localhost/0?a=1', 'ends with more'],
  ['redis://:hunter22%zz@localhost', '%25'],
])('the URL %j is refused without its password', async (url, message) => {
  const error = await openOn({ url }, keyring).catch((reason: Error) => reason);
  expect(error).toMatchObject({ name: 'RedisUrlError' });
  expect(String(error)).toContain(message);
  expect(String(error)).not.toContain('hunter22');
});

test('the right password opens the store', async () => {
  const store = await openOn({ url: `redis://:hunter22@127.0.0.1:${server.port}` }, keyring);
  expect(store.lease.holds()).toBe(true);
  await store.close();
});

test('a missing and a wrong password are told', async () => {
  expect(await refusal(server.url)).toContain(`127.0.0.1:${server.port}: a password is needed`);
  const wrong = await refusal(`redis://:hunter23@127.0.0.1:${server.port}`);
  expect(wrong).toContain('user or password is wrong');
  expect(wrong).not.toContain('hunter23');
});

test('where no server is, the address and the cause are told', async () => {
  expect(await refusal('redis://:hunter22@127.0.0.1:1')).toMatch(/127\.0\.0\.1:1: .*ECONNREFUSED/);
});

test('a server that never greets is given up', async () => {
  const silent = createServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  expect(await refusal(`redis://127.0.0.1:${port}`)).toContain('no greeting within 2000 ms');
  silent.close();
});

test('servers that cannot serve are named', () => {
  const info = (...lines: string[]) => ['# Server', ...lines, ''].join('\r\n');
  expect(refusalOf(info('redis_version:6.2.14', 'role:master'))).toContain('6.2.14');
  expect(refusalOf(info('redis_version:7.0.15', 'role:slave'))).toContain('replica');
  expect(refusalOf(info('redis_version:7.0.15', 'role:master', 'cluster_enabled:1'))).toContain('Cluster');
  expect(refusalOf(info('redis_version:10.0.0', 'role:master', 'cluster_enabled:0'))).toBeUndefined();
  expect(refusalOf('')).toContain('unknown');
});

test('settings that lose data are warned of', () => {
  expect(durabilityWarnings('aof_enabled:1\r\nmaxmemory_policy:noeviction', 'always', 0)).toEqual([]);
  expect(durabilityWarnings('aof_enabled:0\r\nmaxmemory_policy:allkeys-lru', 'everysec', 0)).toEqual([
    expect.stringContaining('appendonly'),
    expect.stringContaining('allkeys-lru'),
  ]);
});

test('a Redis that is full refuses the write and still answers reads', async () => {
  const full = await startRedisServer();
  const store = await openOn(full, keyring);
  await store.write(writeOf(device('a')));
  await withClient(full, (command) => command('CONFIG', 'SET', 'maxmemory', '1'));
  await expect(store.write(writeOf(device('b')))).rejects.toThrow(/FCALL was refused: OOM/);
  expect(await store.read(device('a'))).toMatchObject({ deviceId: 'a' });
  await store.close();
  await full.stop();
});

test('where redis-server is not installed, the tests say so', async () => {
  const path = process.env['PATH'];
  process.env['PATH'] = '';
  const started = startRedisServer();
  const message = await started.catch((error: Error) => error.message);
  process.env['PATH'] = path;
  expect(message).toContain('redis-server is not installed');
});
