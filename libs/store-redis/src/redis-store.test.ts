import { systemRandom, toCredentialId } from '@latchkey/kernel';
import { RecordError, type Store } from '@latchkey/store';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { device, heardBy, newKeyring, openOn, stateOf, withClient, writeOf } from './fixture.ts';
import { type RedisServer, startRedisServer } from './redis-server.ts';

const keyring = newKeyring();
let server: RedisServer;
let store: Store;

beforeAll(async () => {
  server = await startRedisServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  await withClient(server, (command) => command('FLUSHALL'));
  store = await openOn(server, keyring);
});
afterEach(() => store.close());

test('two replicas hear every change once, in the order of the log, before the own write answers', async () => {
  const other = await openOn(server, keyring);
  const heard = heardBy(store);
  const heardByOther = heardBy(other);
  const unheard: number[] = [];
  const write = async (at: Store, own: typeof heard, name: string) => {
    const result = await at.write(writeOf(device(name)));
    if (!own.some((change) => change?.position === result.revision)) unheard.push(result.revision);
  };
  const numbers = Array.from({ length: 200 }, (_, index) => index);
  await Promise.all(numbers.flatMap((n) => [write(store, heard, `a${n}`), write(other, heardByOther, `b${n}`)]));
  await expect.poll(() => [heard.length, heardByOther.length]).toEqual([400, 400]);
  expect(unheard).toEqual([]);
  expect(heard.map((change) => change?.position)).toEqual(Array.from({ length: 400 }, (_, index) => index + 1));
  expect(heardByOther).toEqual(heard);
  await other.close();
});

test('a listener that throws ends the process, but harms neither replies nor other listeners', async () => {
  const handlers = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  const thrown: Error[] = [];
  process.on('uncaughtException', (error) => thrown.push(error));
  const broken = () => {
    throw new Error('listener is broken');
  };
  store.listen({ changed: broken, lost: () => {} });
  const heard = heardBy(store);
  const names = Array.from({ length: 20 }, (_, index) => device(`d${index}`));
  await Promise.all(names.map((name) => store.write(writeOf(name))));
  const records = await Promise.all(names.map((name) => store.read(name)));
  process.removeAllListeners('uncaughtException');
  for (const handler of handlers) process.on('uncaughtException', handler);
  expect(thrown.map((error) => error.message)).toEqual(names.map(() => 'listener is broken'));
  expect(records.map((record) => record?.deviceId)).toEqual(names);
  expect(heard).toHaveLength(20);
});

test('reads of one turn share a round trip, at most 256 at once', async () => {
  await withClient(server, (command) => command('CONFIG', 'RESETSTAT'));
  const names = Array.from({ length: 600 }, (_, index) => device(`d${index}`));
  const records = await Promise.all(names.map((name) => store.read(name)));
  expect(records.every((record) => record === undefined)).toBe(true);
  const stats = await withClient(server, (command) => command('INFO', 'commandstats'));
  expect(String(stats)).toMatch(/cmdstat_mget:calls=3,/);
});

test('a place whose next entry was trimmed is unknown, so is the beginning', async () => {
  const first = await store.write(writeOf(device('a')));
  const second = await store.write(writeOf(device('a'), first.revision));
  await store.write(writeOf(device('a'), second.revision));
  const { entries = [] } = await store.log(0, { position: 0, nonce: '' }, 10);
  const [one, two] = entries.map(({ position, nonce }) => ({ position, nonce }));
  await withClient(server, (command) => command('XTRIM', 'lk:{0}:log', 'MAXLEN', '2'));
  const end = { position: 3, nonce: entries[2]?.nonce };
  expect(await store.log(0, { position: 0, nonce: '' }, 10)).toEqual({ entries: undefined, end });
  expect(await store.log(0, one ?? { position: 0, nonce: '' }, 10)).toEqual({ entries: undefined, end });
  expect(await store.log(0, two ?? { position: 0, nonce: '' }, 10)).toEqual({ entries: [entries[2]], end });
});

test('two replicas that start at once on an empty Redis agree on the store', async () => {
  await withClient(server, (command) => command('FLUSHALL'));
  const stores = await Promise.all(Array.from({ length: 5 }, () => openOn(server, keyring)));
  expect(new Set(stores.map(({ storeId }) => storeId)).size).toBe(1);
  await Promise.all(stores.map((one) => one.close()));
});

test('stores in two databases of one server do not hear each other', async () => {
  const other = await openOn({ url: `${server.url}/1` }, keyring);
  const heard = heardBy(other);
  await store.write(writeOf(device('a')));
  await other.write(writeOf(device('b')));
  expect(heard.map((change) => change?.key)).toEqual(['b']);
  expect(await other.read(device('a'))).toBeUndefined();
  await other.close();
});

test('a record whose bytes lie under another id is refused', async () => {
  await store.write(writeOf(device('a')));
  await withClient(server, (command) => command('COPY', 'lk:{0}:d:a', 'lk:{0}:d:b'));
  const error = await store.read(device('b')).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(RecordError);
  expect(String(error)).toContain('device b');
});

test('an activation deadline is forgotten with the activation and with the device', async () => {
  const names = ['a', 'b', 'c'].map(device);
  const results = await Promise.all(names.map((name) => store.write(writeOf(name))));
  const deadlineMs = 1_700_000_060_000;
  expect(await store.overdue(deadlineMs - 1, 10)).toEqual([]);
  expect(await store.overdue(deadlineMs, 2)).toEqual(['a', 'b']);
  const [a, b] = results.map(({ revision }) => revision);
  await store.write(
    writeOf(device('a'), a, { state: { ...stateOf(device('a')), activatedAtMs: deadlineMs }, kind: 'ACTIVATED' }),
  );
  await store.write(writeOf(device('b'), b, { state: undefined, kind: 'DELETED', effect: { close: 'DEVICE' } }));
  expect(await store.overdue(deadlineMs, 10)).toEqual(['c']);
});

test('a state of another device is never written', async () => {
  await expect(store.write(writeOf(device('a'), undefined, { state: stateOf(device('b')) }))).rejects.toThrow(
    RecordError,
  );
  expect(await store.read(device('a'))).toBeUndefined();
});

test('a change brings its kind and effect to another replica', async () => {
  const other = await openOn(server, keyring);
  const heard = heardBy(other);
  const credentialId = toCredentialId(systemRandom(12));
  await store.write(
    writeOf(device('a'), undefined, { kind: 'RETIRED', effect: { close: 'CREDENTIAL', credentialId } }),
  );
  await store.write(writeOf(device('b'), undefined, { kind: 'FROZEN', effect: { close: 'DEVICE' } }));
  await expect
    .poll(() => heard.map((change) => [change?.kind, change?.effect]))
    .toEqual([
      ['RETIRED', { close: 'CREDENTIAL', credentialId }],
      ['FROZEN', { close: 'DEVICE' }],
    ]);
  await other.close();
});
