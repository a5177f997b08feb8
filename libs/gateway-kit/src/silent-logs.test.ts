import { crc32 } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { systemClock, systemRandom } from '@latchkey/kernel';
import { SessionEffect, SessionStanding } from '@latchkey/protocol/v1';
import { RpcError } from '@latchkey/rpc';
import { createLog, createRegistry } from '@latchkey/runtime';
import { afterEach, expect, test, vi } from 'vitest';
import { connectAuth } from './auth-client.ts';
import { ChangeWatcher } from './change-watcher.ts';
import { gatewayMetrics } from './metrics.ts';
import { MEMORY_AGE_MS, RecentClosings } from './recent-closings.ts';
import { type CloseCause, SessionTable } from './sessions.ts';
import { TableAuth } from './testing.ts';

const UNTIL = { timeout: 10_000, interval: 20 };
vi.setConfig({ testTimeout: 30_000 });

const SHARDS = 4;
const SILENT = { shardCount: SHARDS, silentShards: [2] };
const SILENCE_MS = 300;

const ids = Array.from({ length: 40 }, (_, number) => `device-${number}`);
const lost = ids.filter((id) => crc32(id) % SHARDS === 2);
const well = ids.filter((id) => crc32(id) % SHARDS !== 2);

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0).reverse()) end();
});

/** A gateway with a session of each device, over replicas of which none hears of log 2. */
async function watching(replicas: number) {
  let aheadMs = 0;
  const tables = Array.from({ length: replicas }, () => new TableAuth());
  const addresses: { host: string; port: number }[] = [];
  for (const table of tables) {
    table.silent = SILENT;
    table.serving = false;
    addresses.push({ host: '127.0.0.1', port: await table.start() });
    ends.push(() => table.stop());
  }
  const log = createLog({ service: 'test', level: 'error' });
  const registry = createRegistry('test');
  const monotonic = () => systemClock.monotonic() + aheadMs;
  const metrics = gatewayMetrics(registry, { sessionsOpen: () => sessions.size, monotonic });
  const common = { metrics, log, random: systemRandom };
  const auth = connectAuth({ ...common, addresses, clock: systemClock, maxInFlight: 100, deadlineMs: 500 });
  const closings = new RecentClosings(monotonic);
  const sessions = new SessionTable({ closings, metrics, log });
  const clock = { ...systemClock, monotonic };
  const watcher = new ChangeWatcher({ ...common, auth, closings, sessions, clock, silenceMs: SILENCE_MS });
  const gauge = (name: string, value: number) =>
    vi.waitFor(async () => expect(await registry.metrics()).toContain(`${name}{service="test"} ${value}\n`), UNTIL);
  await gauge('latchkey_gateway_replicas_usable', 0);
  watcher.start();
  ends.push(
    () => auth.close(),
    () => watcher.stop(),
  );
  await gauge('latchkey_gateway_changes_silent_logs', 1);
  const closed = new Map<string, CloseCause>();
  for (const deviceId of ids) {
    const close = (cause: CloseCause) => void closed.set(deviceId, cause);
    const session = { deviceId, credentialId: `${deviceId}-1`, revision: 1n, byCertificate: false, close };
    expect(sessions.register({ ...session, basis: new Uint8Array() }, monotonic())).toBe(true);
  }
  /** Lets the clock of the gateway run ahead. */
  const elapse = (ms: number) => {
    aheadMs += ms;
  };
  return { tables, closed, gauge, elapse, followed: () => tables.map(({ cursors }) => cursors.length) };
}

type Watching = Awaited<ReturnType<typeof watching>>;

/** Freezes a device, as all replicas tell. */
async function freeze(on: Watching, deviceId: string): Promise<void> {
  for (const table of on.tables) table.change({ deviceId, revision: 5n, effect: SessionEffect.CLOSE_DEVICE });
  await vi.waitFor(() => expect(on.closed.get(deviceId)).toBe('DEVICE'), UNTIL);
}

/** Answers checks as a replica does that cannot decide on the devices of log 2. */
function checking(on: Watching, bad: readonly string[]): { readonly refused: () => number } {
  let refused = 0;
  for (const table of on.tables) {
    table.check = ({ sessions }) => {
      if (table.silent !== undefined && sessions.some(({ deviceId }) => lost.includes(deviceId))) {
        refused += 1;
        throw new RpcError(status.UNAVAILABLE, 'no lease');
      }
      return sessions.map(({ deviceId }) => (bad.includes(deviceId) ? SessionStanding.CLOSE : SessionStanding.GOOD));
    };
  }
  return { refused: () => refused };
}

test('while a log is silent, changes of the others end sessions at once, and its own sessions stay', async () => {
  const on = await watching(1);
  const [first = '', second = ''] = well;
  await freeze(on, first);
  await new Promise((resolve) => setTimeout(resolve, 2 * SILENCE_MS));
  await freeze(on, second);
  expect(on.closed.size).toBe(2);
  expect(on.followed()).toEqual([1]);
  for (const table of on.tables) table.silent = undefined;
  await on.gauge('latchkey_gateway_changes_silent_logs', 0);
  await freeze(on, lost[0] ?? '');
  expect(on.closed.size).toBe(3);
});

test('a replica that serves all is followed instead, from the same place on', async () => {
  const on = await watching(2);
  const better = on.followed()[0] === 0 ? 0 : 1;
  const table = on.tables[better];
  if (table === undefined) throw new Error('no table');
  table.silent = undefined;
  table.serving = true;
  await vi.waitFor(() => expect(table.cursors).toEqual(['0']), UNTIL);
  await on.gauge('latchkey_gateway_changes_silent_logs', 0);
  const before = on.followed();
  await new Promise((resolve) => setTimeout(resolve, 3 * SILENCE_MS));
  expect(on.followed()).toEqual(before);
});

test('sessions in doubt of which nobody can say anything take none of the others along', async () => {
  const on = await watching(1);
  checking(on, [well[0] ?? '']);
  on.tables[0]?.publish({ case: 'gap', value: { shardCount: 1, shards: [0] } });
  await vi.waitFor(() => expect(on.closed.size).toBe(lost.length + 1), UNTIL);
  expect(on.closed.get(well[0] ?? '')).toBe('CHECKED');
  expect(lost.map((id) => on.closed.get(id))).toEqual(lost.map(() => 'UNCHECKED'));
});

test('the second check waits for the silent log, and for no other', async () => {
  const on = await watching(1);
  const { refused } = checking(on, [well[0] ?? '', lost[0] ?? '']);
  on.elapse(MEMORY_AGE_MS);
  await vi.waitFor(() => expect(refused()).toBe(7), UNTIL); // more often than sessions in doubt are asked about
  expect([...on.closed]).toEqual([[well[0], 'CHECKED']]);
  for (const table of on.tables) table.silent = undefined;
  await vi.waitFor(() => expect(on.closed.get(lost[0] ?? '')).toBe('CHECKED'), UNTIL);
  expect(on.closed.size).toBe(2);
});
