import { crc32 } from 'node:zlib';
import { systemClock, systemRandom } from '@latchkey/kernel';
import { ChangeKind, type CheckSessionsRequest, SessionEffect, SessionStanding } from '@latchkey/protocol/v1';
import { createLog, createRegistry } from '@latchkey/runtime';
import { afterEach, expect, test, vi } from 'vitest';
import { connectAuth } from './auth-client.ts';
import { ChangeWatcher } from './change-watcher.ts';
import { gatewayMetrics } from './metrics.ts';
import { RecentClosings } from './recent-closings.ts';
import { type CloseCause, type Session, SessionTable } from './sessions.ts';
import { TableAuth } from './testing.ts';

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0).reverse()) end();
});

async function watching(options: { readonly absent?: boolean; readonly silenceMs?: number } = {}) {
  let aheadMs = 0;
  const table = new TableAuth();
  const port = await table.start();
  if (options.absent) table.stop();
  const log = createLog({ service: 'test', level: 'error' });
  const registry = createRegistry('test');
  const monotonic = () => systemClock.monotonic() + aheadMs;
  const clock = { ...systemClock, monotonic };
  const metrics = gatewayMetrics(registry, { sessionsOpen: () => sessions.size, monotonic });
  const auth = connectAuth({
    ...{ addresses: [{ host: '127.0.0.1', port }], clock: systemClock, random: systemRandom, maxInFlight: 100 },
    ...{ metrics, log, deadlineMs: 500 },
  });
  const closings = new RecentClosings(monotonic);
  const sessions = new SessionTable({ closings, metrics, log });
  const { silenceMs = 400 } = options;
  const watcher = new ChangeWatcher({
    auth,
    closings,
    sessions,
    metrics,
    log,
    clock,
    random: systemRandom,
    silenceMs,
  });
  watcher.start();
  ends.push(
    () => table.stop(),
    () => auth.close(),
    () => watcher.stop(),
  );
  const open = (deviceId: string, more: Partial<Session> = {}) => {
    const closed: CloseCause[] = [];
    const session = {
      deviceId,
      credentialId: `${deviceId}-1`,
      revision: 1n,
      byCertificate: false,
      basis: new Uint8Array(),
      close: (cause: CloseCause) => closed.push(cause),
      ...more,
    };
    expect(sessions.register(session, monotonic())).toBe(true);
    return closed;
  };
  if (!options.absent) await placed(watcher);
  /** Lets the clock of the gateway run ahead. */
  const elapse = (ms: number) => {
    aheadMs += ms;
  };
  return { table, port, watcher, sessions, open, registry, elapse };
}

async function placed(watcher: ChangeWatcher): Promise<void> {
  await vi.waitFor(() => expect(watcher.placed).toBe(true), { timeout: 20_000, interval: 20 });
}

let lastRevision = 1n;

/** Waits until a change that is sent last has been taken in, so that "nothing was closed" is a fact. */
async function settled(on: Awaited<ReturnType<typeof watching>>): Promise<void> {
  const revision = lastRevision++;
  const closed = on.open('last', { revision });
  on.table.change({ deviceId: 'last', revision: revision + 1n, effect: SessionEffect.CLOSE_DEVICE });
  await vi.waitFor(() => expect(closed).toEqual(['DEVICE']), { timeout: 20_000, interval: 10 });
}

test('CLOSE_DEVICE closes the sessions of the device that were granted before', async () => {
  const on = await watching();
  const old = on.open('a', { revision: 4n });
  const fresh = on.open('a', { revision: 5n });
  const other = on.open('b');
  on.table.change({
    deviceId: 'a',
    revision: 5n,
    kind: ChangeKind.FROZEN,
    effect: SessionEffect.CLOSE_DEVICE,
  });
  await settled(on);
  expect({ old, fresh, other }).toEqual({ old: ['DEVICE'], fresh: [], other: [] });
  const late = {
    deviceId: 'a',
    credentialId: 'c',
    revision: 4n,
    byCertificate: false,
    basis: new Uint8Array(),
    close: () => undefined,
  };
  expect(on.sessions.register(late, systemClock.monotonic())).toBe(false);
});

test('CLOSE_CREDENTIAL closes the sessions that were opened with it', async () => {
  const on = await watching();
  const first = on.open('a', { credentialId: 'x', revision: 9n });
  const second = on.open('a', { credentialId: 'y' });
  on.table.change({
    deviceId: 'a',
    revision: 5n,
    kind: ChangeKind.RETIRED,
    effect: SessionEffect.CLOSE_CREDENTIAL,
    credentialId: 'x',
  });
  await settled(on);
  expect({ first, second }).toEqual({ first: ['CREDENTIAL'], second: [] });
});

test('KEEP closes nothing; an effect of a later version closes the device', async () => {
  const on = await watching();
  const kept = on.open('a');
  const unknown = on.open('b');
  on.table.change({ deviceId: 'a', revision: 5n, kind: ChangeKind.RESET, effect: SessionEffect.KEEP });
  on.table.change({ deviceId: 'b', revision: 5n, effect: 77 as SessionEffect });
  await settled(on);
  expect({ kept, unknown }).toEqual({ kept: [], unknown: ['DEVICE'] });
});

test('a lost stream goes on from its cursor, and sessions stay open meanwhile', async () => {
  const on = await watching();
  const kept = on.open('a');
  const frozen = on.open('b');
  await settled(on);
  on.table.stop();
  await vi.waitFor(async () => expect(await on.registry.metrics()).toMatch(/changes_followed\{.*\} 0/), 20_000);
  expect([kept, frozen]).toEqual([[], []]);
  on.table.change({ deviceId: 'b', revision: 5n, effect: SessionEffect.CLOSE_DEVICE });
  await on.table.start(on.port);
  await vi.waitFor(() => expect(frozen).toEqual(['DEVICE']), { timeout: 20_000, interval: 20 });
  expect(kept).toEqual([]);
  expect(on.table.cursors.at(0)).toBe('');
  expect(on.table.cursors.at(-1)).toBe('1');
});

test('a stream that ends or falls silent is opened again', async () => {
  const on = await watching({ silenceMs: 150 });
  on.table.dropWatchers();
  await vi.waitFor(() => expect(on.table.cursors.length).toBe(2), { timeout: 20_000, interval: 20 });
  await settled(on);
  on.table.beating = false;
  await vi.waitFor(() => expect(on.table.cursors.length).toBeGreaterThan(2), { timeout: 20_000, interval: 20 });
  on.table.beating = true;
  await settled(on);
});

test('the watcher starts with the service absent and has no place until it has heard of it', async () => {
  const on = await watching({ absent: true });
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(on.watcher.placed).toBe(false);
  await on.table.start(on.port);
  await placed(on.watcher);
});

test('a gap asks about the sessions of its shards and closes those that may not stay', async () => {
  const on = await watching();
  const ids = Array.from({ length: 40 }, (_, index) => `device-${index}`);
  const closed = new Map(ids.map((id) => [id, on.open(id)]));
  const lost = ids.filter((id) => crc32(id) % 4 === 2);
  expect(lost.length).toBeGreaterThan(2);
  const asked: string[] = [];
  on.table.check = ({ sessions }) => {
    asked.push(...sessions.map(({ deviceId }) => deviceId));
    return sessions.map(({ deviceId }) => (deviceId === lost[0] ? SessionStanding.CLOSE : SessionStanding.GOOD));
  };
  on.table.publish({ case: 'gap', value: { shardCount: 4, shards: [2] } });
  await vi.waitFor(() => expect(closed.get(lost[0] ?? '')).toEqual(['CHECKED']), 20_000);
  await settled(on);
  expect(asked.sort()).toEqual([...lost].sort());
  expect([...closed.values()].flat()).toEqual(['CHECKED']);
});

test('a gap puts sessions in doubt whose verdict is older', async () => {
  const on = await watching();
  const askedAtMs = systemClock.monotonic();
  on.table.publish({ case: 'gap', value: { shardCount: 1, shards: [0] } });
  await settled(on);
  const late = {
    deviceId: 'a',
    credentialId: 'c',
    revision: 1n,
    byCertificate: false,
    basis: new Uint8Array(),
    close: () => undefined,
  };
  expect(on.sessions.register(late, askedAtMs)).toBe(false);
  expect(on.sessions.register(late, systemClock.monotonic())).toBe(true);
});

test('sessions that opened soon after a place was taken are checked once no replica can be behind it', async () => {
  const on = await watching();
  const [behind, sound] = [on.open('a'), on.open('b')];
  const asked: string[] = [];
  let away = true;
  on.table.check = ({ sessions }) => {
    if (away) throw new Error('not now');
    asked.push(...sessions.map(({ deviceId }) => deviceId));
    return sessions.map(({ deviceId }) => (deviceId === 'a' ? SessionStanding.CLOSE : SessionStanding.GOOD));
  };
  on.elapse(15_000);
  await settled(on);
  on.elapse(5_000);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect([behind, sound]).toEqual([[], []]); // a session does not end because nobody can be asked
  away = false;
  await vi.waitFor(() => expect(behind).toEqual(['CHECKED']), { timeout: 20_000, interval: 20 });
  await settled(on);
  expect([asked.sort(), sound]).toEqual([['a', 'b'], []]);
});

test('2,500 sessions in doubt are asked about in batches of 1,000', async () => {
  const on = await watching();
  for (let index = 0; index < 2500; index++) on.open(`device-${index}`);
  const sizes: number[] = [];
  on.table.check = ({ sessions }) => {
    sizes.push(sessions.length);
    return sessions.map(() => SessionStanding.GOOD);
  };
  on.table.publish({ case: 'gap', value: { shardCount: 1, shards: [0] } });
  await vi.waitFor(() => expect(sizes).toEqual([1000, 1000, 500]), 20_000);
  expect(on.sessions.size).toBe(2500);
});

test('where sessions cannot be checked, those in doubt are closed', async () => {
  const on = await watching();
  const closed = on.open('a');
  on.table.publish({ case: 'gap', value: { shardCount: 1, shards: [0] } });
  await vi.waitFor(() => expect(closed).toEqual(['UNCHECKED']), 20_000);
});

test('a check that fails is tried again before sessions are closed', async () => {
  const on = await watching();
  const closed = on.open('a');
  let calls = 0;
  on.table.check = ({ sessions }) => {
    if (++calls < 3) throw new Error('not now');
    return sessions.map(() => SessionStanding.GOOD);
  };
  on.table.publish({ case: 'gap', value: { shardCount: 1, shards: [0] } });
  await vi.waitFor(() => expect(calls).toBe(3), { timeout: 20_000, interval: 20 });
  await settled(on);
  expect(closed).toEqual([]);
});

test('an answer with too few standings closes the sessions it leaves out', async () => {
  const on = await watching();
  const closed = on.open('a');
  on.table.check = () => [];
  on.table.publish({ case: 'gap', value: { shardCount: 1, shards: [0] } });
  await vi.waitFor(() => expect(closed).toEqual(['CHECKED']), 20_000);
});

test('a disabled certificate asks about the sessions with a certificate alone', async () => {
  const on = await watching();
  const basis = Buffer.of(1, 2);
  const certificate = on.open('a', { byCertificate: true, basis });
  const secret = on.open('b');
  const asked: CheckSessionsRequest[] = [];
  on.table.check = (request) => {
    asked.push(request);
    return request.sessions.map(() => SessionStanding.CLOSE);
  };
  on.table.change({
    revision: 5n,
    kind: ChangeKind.CERTIFICATE_DISABLED,
    effect: SessionEffect.CHECK_CERTIFICATES,
  });
  await vi.waitFor(() => expect(certificate).toEqual(['CHECKED']), 20_000);
  await settled(on);
  expect(secret).toEqual([]);
  expect(asked).toMatchObject([{ trustRevision: 5n, sessions: [{ deviceId: 'a', basis }] }]);
});

test('a gap in log 0 puts every session with a certificate in doubt', async () => {
  const on = await watching();
  const deviceId = 'abcdefgh'.split('').find((name) => crc32(name) % 16 !== 0) ?? '';
  const [certificate, secret] = [on.open(deviceId, { byCertificate: true }), on.open(deviceId)];
  on.table.check = ({ sessions }) => sessions.map(() => SessionStanding.CLOSE);
  on.table.publish({ case: 'gap', value: { shardCount: 16, shards: [0] } });
  await vi.waitFor(() => expect(certificate).toEqual(['CHECKED']), 20_000);
  await settled(on);
  expect(secret).toEqual([]);
});

test('a cursor that the service cannot read is given up, and all sessions are checked from the new place on', async () => {
  const on = await watching();
  const [kept, ended] = [on.open('a'), on.open('b')];
  on.table.check = ({ sessions }) =>
    sessions.map(({ deviceId }) => (deviceId === 'b' ? SessionStanding.CLOSE : SessionStanding.GOOD));
  on.table.readsCursors = false;
  on.table.dropWatchers();
  await vi.waitFor(() => expect(ended).toEqual(['CHECKED']), { timeout: 20_000, interval: 20 });
  await settled(on);
  expect(on.table.cursors).toEqual(['', '0', '']);
  expect(kept).toEqual([]);
});
