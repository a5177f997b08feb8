import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { systemClock, systemRandom } from '@latchkey/kernel';
import { freePort } from '@latchkey/kernel/testing';
import { StoreUnavailable } from '@latchkey/store';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { addressText, parseDeployment, parseRedisUrl } from './address.ts';
import { device, newKeyring, openOn, withClient, writeOf } from './fixture.ts';
import { refusalOf, settingsWarnings } from './greeting.ts';
import { type RedisServer, startRedisServer } from './redis-server.ts';
import { openRedisStore } from './redis-store.ts';

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

test('a URL of sentinels names their addresses, the master and its database', () => {
  const address = { tls: false, username: 'op', password: 'p@ss', database: 2 };
  expect(parseDeployment('redis-sentinel://op:p%40ss@one:7000,[::1]/main/2')).toEqual({
    kind: 'SENTINEL',
    sentinels: [
      { host: 'one', port: 7000, ...address },
      { host: '::1', port: 26379, ...address },
    ],
    masterName: 'main',
  });
});

test('a URL of a Cluster names some of its nodes', () => {
  const address = { tls: true, username: undefined, password: undefined, database: 0 };
  expect(parseDeployment('rediss-cluster://one:7000,two/')).toEqual({
    kind: 'CLUSTER',
    seeds: [
      { host: 'one', port: 7000, ...address },
      { host: 'two', port: 6379, ...address },
    ],
  });
  expect(parseDeployment('redis://one')).toEqual({ kind: 'STANDALONE', address: parseRedisUrl('redis://one') });
});

test.each([
  ['redis-sentinel://:hunter22@localhost', 'does not name the master'],
  ['redis-sentinel://:hunter22@localhost/main/x', 'does not name the master'],
  ['redis-sentinel://:hunter22@/main', 'names no host'],
  ['redis-cluster://:hunter22@localhost/1', 'ends with more'],
  ['redis-cluster://:hunter22@one,,two', 'names no host'],
  [`redis-cluster://:hunter22@${'a,'.repeat(32)}a`, 'more than 32 hosts'],
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

const ALONE = { cluster: false, takeovers: false, replicas: 0 };
const REPLACEABLE = { cluster: false, takeovers: true, replicas: undefined };

test('settings that lose data are warned of', () => {
  const warned = (info: string, appendfsync: string | undefined) =>
    settingsWarnings(info, { appendfsync, maxLagS: 10 }, ALONE);
  expect(warned('aof_enabled:1\r\nmaxmemory_policy:noeviction', 'always')).toEqual([]);
  expect(warned('aof_enabled:0\r\nmaxmemory_policy:allkeys-lru', 'everysec')).toEqual([
    expect.stringContaining('appendonly'),
    expect.stringContaining('allkeys-lru'),
  ]);
  const good = 'aof_enabled:1\r\nmaxmemory_policy:noeviction';
  expect(warned(good, 'everysec')).toEqual([expect.stringContaining('two seconds')]);
  expect(warned(good, 'no')).toEqual([expect.stringContaining('half a minute')]);
  expect(warned(good, undefined)).toEqual([]);
});

test('where another server may take over, its settings and the number of replicas are looked at', () => {
  const fenced = 'min_slaves_good_slaves:2\r\nconnected_slaves:2';
  const warned = (info: string, maxLagS: number | undefined, replicas: number | undefined) =>
    settingsWarnings(info, { appendfsync: 'always', maxLagS }, { ...REPLACEABLE, replicas });
  expect(warned(fenced, 5, undefined)).toEqual([]);
  expect(warned(fenced, undefined, undefined)).toEqual([]);
  expect(warned(fenced, 2, 2)).toEqual([]);
  expect(warned('connected_slaves:2', 10, undefined)).toEqual([expect.stringContaining('min-replicas-to-write is 0')]);
  expect(warned(fenced, 10, undefined)).toEqual([
    'min-replicas-max-lag is 10: after a takeover resets take 13 s; set 2',
  ]);
  const few = [0, 1].map((replicas) => warned(fenced, 2, replicas));
  expect(few).toEqual([
    [expect.stringContaining('--redis-replicas is 0, and there are 2')],
    [expect.stringContaining('--redis-replicas is 1, and there are 2')],
  ]);
  expect(settingsWarnings(fenced, { appendfsync: 'always', maxLagS: 10 }, { ...ALONE, replicas: 2 })).toHaveLength(1);
});

test('being strict, a server whose settings put data at risk is refused; otherwise it is told', async () => {
  const lax = await startRedisServer({ appendfsync: 'everysec', args: ['--maxmemory-policy', 'allkeys-lru'] });
  const told: string[] = [];
  const log = (_: string, fields: Readonly<Record<string, string | number>>) => told.push(String(fields['warning']));
  const options = { url: lax.url, keyring, clock: systemClock, random: systemRandom, log };
  const refused = openRedisStore({ ...options, strict: true });
  await expect(refused).rejects.toThrow(/refused, being strict: appendfsync is everysec.*allkeys-lru/);
  await withClient(lax, (send) => send('CONFIG', 'SET', 'min-replicas-to-write', '1', 'appendfsync', 'always'));
  const slow = openRedisStore({ ...options, replicas: 1, strict: true });
  await expect(slow).rejects.toThrow(/refused, being strict: .*min-replicas-max-lag is 10/);
  await withClient(lax, (send) => send('CONFIG', 'SET', 'min-replicas-to-write', '0', 'appendfsync', 'everysec'));
  const store = await openRedisStore(options);
  expect(told).toEqual([expect.stringContaining('everysec'), expect.stringContaining('allkeys-lru')]);
  await store.close();
  await lax.stop();
});

test('a server of another kind than the URL says is refused with the right scheme', async () => {
  const single = `redis-cluster://:hunter22@127.0.0.1:${server.port}`;
  expect(await refusal(single)).toMatch(/cluster support disabled|not a node/);
  const node = await startRedisServer({
    args: ['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())],
  });
  expect(await refusal(node.url)).toContain('redis-cluster:// URL');
  expect(await refusal(`redis-cluster://127.0.0.1:${node.port}`)).toContain('the Cluster is down');
  await node.stop();
  const none = `redis-sentinel://:hunter22@127.0.0.1:1,127.0.0.1:${server.port}/main`;
  expect(await refusal(none)).toMatch(
    /no sentinel tells where the master main is: .*ECONNREFUSED.*; .*unknown command/,
  );
});

test('a store of other shards than this version has is refused', async () => {
  const other = await startRedisServer();
  await withClient(other, (send) => send('SET', 'lk:store', '{"id":"x","format":1,"shards":4}'));
  expect(await refusal(other.url)).toContain('4 shards, not 1/1');
  await other.stop();
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
