import { systemClock } from '@latchkey/kernel';
import { StoreUnavailable } from '@latchkey/store';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { device, newKeyring, onlyShard, openOn, writeOf } from './fixture.ts';
import type { Connection } from './node.ts';
import { type RedisServer, startRedisServer } from './redis-server.ts';
import { ConnectionLost, REPLY_DEADLINE_MS } from './session.ts';
import { type Host, Shard } from './shard.ts';
import { startProxy } from './test-proxy.ts';

// What becomes of calls whose server goes away, or is another one from now on.

const moved = () => Promise.reject(new StoreUnavailable('its shards have moved'));
const lostBy = (mayBeDone: boolean) => () => Promise.reject(new ConnectionLost('gone', mayBeDone));

function shardOn(host?: Host): Shard {
  const shard = new Shard(onlyShard(), systemClock);
  shard.attach(host, 'it is moving to another server');
  return shard;
}

/** A server that is connected, under this name. */
function hostOf(name: string): Host & { readonly connection: Connection } {
  const connection = { name, ended: Promise.resolve('gone') } as unknown as Connection;
  return { current: connection, next: () => Promise.resolve(connection), connection };
}

test('a call that waits while its shard moves is sent to the next server', async () => {
  let leave: () => void = () => undefined;
  const closing = new Promise<void>((resolve) => {
    leave = resolve;
  });
  const shard = shardOn({ current: undefined, next: () => closing.then(moved) });
  const [waiting, next] = [shard.write(async (connection) => connection), hostOf('next')];
  shard.attach(undefined);
  leave();
  await Promise.resolve();
  shard.attach(next);
  expect(await waiting).toBe(next.connection);
});

test('a call waits for a server no longer than for a reply, and not at all when there has been none for that long', async () => {
  let nowMs = 0;
  const shard = new Shard(onlyShard(), { now: () => 0, monotonic: () => nowMs });
  shard.attach(undefined, 'it is moving to another server');
  nowMs = REPLY_DEADLINE_MS - 20;
  await expect(shard.read(moved)).rejects.toThrow('shard 0 of Redis: it is moving to another server');
  nowMs = REPLY_DEADLINE_MS;
  await expect(shard.read(moved)).rejects.toThrow('it is moving to another server');
});

test.each([
  ['a read that was sent', 'read', true, 'next'],
  ['a read that was not', 'read', false, 'next'],
  ['a write that was refused as not its own', 'write', false, 'next'],
  ['a write that may have happened', 'write', true, 'gone'],
] as const)('a connection ends under %s', async (_, kind, mayBeDone, expected) => {
  const [first, next] = [hostOf('first'), hostOf('next')];
  const shard = shardOn(first);
  const step = async (connection: Connection) => {
    if (connection === next.connection) return 'next';
    shard.attach(next);
    return lostBy(mayBeDone)();
  };
  expect(await shard[kind](step).catch((error: Error) => error.message)).toBe(expected);
});

test('what the server itself refuses is not repeated', async () => {
  let calls = 0;
  const refused = () => {
    calls += 1;
    return Promise.reject(new StoreUnavailable('OOM'));
  };
  const shard = shardOn(hostOf('only'));
  await expect(shard.read(refused)).rejects.toThrow('OOM');
  await expect(shard.write(refused)).rejects.toThrow('OOM');
  expect(calls).toBe(2);
});

test('a call is not begun anew once a reply could have come', async () => {
  let nowMs = 0;
  const shard = new Shard(onlyShard(), { now: () => 0, monotonic: () => nowMs });
  shard.attach(hostOf('only'));
  let calls = 0;
  const slow = () => {
    calls += 1;
    nowMs += REPLY_DEADLINE_MS / 2;
    return lostBy(true)();
  };
  await expect(shard.read(slow)).rejects.toThrow('gone');
  expect(calls).toBe(2);
});

describe('over a real Redis', () => {
  const keyring = newKeyring();
  let server: RedisServer;
  beforeEach(async () => {
    server = await startRedisServer({ appendfsync: 'everysec' });
  });
  afterEach(() => server.stop());

  test('a read that is under way when its connection breaks is answered, a write is in doubt', async () => {
    const proxy = await startProxy(server.port);
    const store = await openOn({ url: proxy.url }, keyring);
    const { revision } = await store.write(writeOf(device('a')));
    proxy.hang(true);
    const read = store.read(device('a'));
    const written = store.write(writeOf(device('a'), revision)).catch((error: Error) => error);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    proxy.hang(false);
    proxy.cut();
    expect(await read).toMatchObject({ deviceId: 'a' });
    expect(await written).toBeInstanceOf(ConnectionLost);
    await store.close();
    await proxy.stop();
  });
});
