import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { Code, ConnectError } from '@connectrpc/connect';
import { status } from '@grpc/grpc-js';
import type { Running } from '@latchkey/runtime';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { readConfig } from './config.ts';
import { type Clients, freshDirectory, operatorOf } from './test-process.ts';
import { keptLog, layoutOf, type RedisCluster, startRedisCluster } from './test-stores.ts';
import { TestWatcher } from './test-watcher.ts';
import { startAuth } from './wire.ts';

// Six Redis servers are started, and the machine may be busy.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const SHARDS = 16;
/** So that writes wait for 5 s after a start and no longer. */
const SHORT_LAG = [
  ...['--min-replicas-to-write', '1', '--min-replicas-max-lag', '2'],
  ...['--repl-ping-replica-period', '1'],
];

let cluster: RedisCluster;
let directory: Awaited<ReturnType<typeof freshDirectory>>;
let running: Running;
let clients: Clients;
const open = new Set<TestWatcher>();

beforeAll(async () => {
  cluster = await startRedisCluster({ args: SHORT_LAG });
  directory = await freshDirectory();
  const ports = ['--grpc', '127.0.0.1:0', '--admin', '127.0.0.1:0'];
  const config = readConfig(['--data-dir', directory.path, ...ports, '--store', cluster.url], undefined);
  running = await startAuth(config, keptLog().log);
  clients = operatorOf(running.ready as Parameters<typeof operatorOf>[0]);
});
afterAll(async () => {
  for (const watcher of open) watcher.stop();
  clients.channel.close();
  await running.stop();
  await cluster.stop();
  await directory.remove();
});

const shardOf = (deviceId: string) => crc32(deviceId) % SHARDS;

/** A device in one of these shards. */
function deviceIn(shards: readonly number[], prefix: string): string {
  const name = Array.from({ length: 200 }, (_, number) => `${prefix}${number}`).find((id) =>
    shards.includes(shardOf(id)),
  );
  if (name === undefined) throw new Error('no such device');
  return name;
}

function watch(cursor = '', takesPartialBeats = true): TestWatcher {
  const watcher = new TestWatcher(clients.channel, { cursor, takesPartialBeats });
  open.add(watcher);
  return watcher;
}

/** Repeats a call of an operator while the store is slow, or its replicas are not back. */
async function insist(call: (requestId: string) => Promise<unknown>, requestId = randomUUID()): Promise<void> {
  for (;;) {
    try {
      return void (await call(requestId));
    } catch (error) {
      if (!(error instanceof ConnectError && error.code === Code.Unavailable)) throw error;
      await pause(200);
    }
  }
}

const primary = { case: 'secret' as const, value: {} };
const heardOf = (watcher: TestWatcher, deviceId: string) =>
  watcher.events('change').filter((change) => change.deviceId === deviceId).length;

test('while the servers of some shards are away, the changes of all others are told, and what was missed afterwards', async () => {
  const [home, , , replica] = cluster.nodes;
  if (home === undefined || replica === undefined) throw new Error('no nodes');
  const owners = await Promise.all(layoutOf(SHARDS).map(({ slot }) => cluster.primaryOf(slot)));
  const all = Array.from({ length: SHARDS }, (_, shard) => shard);
  const silent = all.filter((shard) => owners[shard] === home);
  const others = all.filter((shard) => owners[shard] !== home);
  expect([silent.length > 0, others.length > 0]).toEqual([true, true]);

  const [lost, well] = [deviceIn(silent, 'lost'), deviceIn(others, 'well')];
  const [old, stays] = [watch('', false), watch()];
  await Promise.all([old, stays].map((watcher) => watcher.until(() => watcher.events('beat').length > 0)));
  const { devices } = clients;
  for (const deviceId of [lost, well])
    await insist((requestId) => devices.createDevice({ deviceId, primary, requestId }));
  await stays.until(() => heardOf(stays, lost) === 1 && heardOf(stays, well) === 1);
  const cursor = stays.heard.at(-1)?.cursor ?? '';
  await insist((requestId) => devices.freezeDevice({ deviceId: lost, requestId }));
  await stays.until(() => heardOf(stays, lost) === 2);

  await replica.kill();
  await home.kill();
  const names = (watcher: TestWatcher) => String(watcher.events('partialBeat').at(-1)?.silentShards) === String(silent);
  await stays.until(() => names(stays));
  // A stream begins all the same, from a cursor and from now on, but not for a watcher that would not understand.
  const [resumed, fresh] = [watch(cursor), watch()];
  expect((await watch(cursor, false).failed).code).toBe(status.UNAVAILABLE);
  for (const watcher of [resumed, fresh]) {
    await watcher.until(() => watcher.heard.length > 0);
    expect(watcher.heard[0]?.event.case).toBe('partialBeat');
    await watcher.until(() => names(watcher)); // on a slow machine the first may name more
  }
  const beats = old.events('beat').length;
  await insist((requestId) => devices.freezeDevice({ deviceId: well, requestId }));
  for (const watcher of [old, stays, resumed, fresh]) await watcher.until(() => heardOf(watcher, well) > 0);
  const before = stays.events('partialBeat').length;
  await stays.until(() => stays.events('partialBeat').length >= before + 2);
  expect([old.events('beat').length, old.events('partialBeat').length]).toEqual([beats, 0]);

  await home.restart();
  await replica.restart();
  await resumed.until(() => heardOf(resumed, lost) === 1);
  await fresh.until(() => fresh.events('gap').length > 0 && fresh.heard.at(-1)?.event.case === 'beat');
  const missed = fresh.events('gap').flatMap(({ shards }) => shards);
  expect(silent.filter((shard) => !missed.includes(shard))).toEqual([]);
  expect(heardOf(fresh, lost)).toBe(0);
  await insist((requestId) => devices.unfreezeDevice({ deviceId: lost, requestId }));
  for (const watcher of [stays, resumed, fresh]) {
    await watcher.until(() => watcher.heard.at(-1)?.event.case === 'beat');
  }
  expect([stays, resumed].flatMap((watcher) => watcher.events('gap'))).toEqual([]);
  expect([stays, resumed, fresh].map((watcher) => heardOf(watcher, lost))).toEqual([3, 2, 1]);
  expect([stays, resumed, fresh].map((watcher) => heardOf(watcher, well))).toEqual([2, 1, 1]);
});
