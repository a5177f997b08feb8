import { setTimeout as pause } from 'node:timers/promises';
import { toRevision } from '@latchkey/kernel';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { entryText } from './entry.ts';
import { ChangeFeed } from './feed.ts';
import { device, onlyShard } from './fixture.ts';
import { Heart } from './heart.ts';
import { SERVE_MS, ShardLease, WAIT_MS } from './lease.ts';
import type { Reply, Session } from './session.ts';

// Moments of clocks and replies that a real server shows only now and then.

const KEYS = onlyShard();
const WALL_MS = 1_700_000_000_000;
const START_MS = 10_000;
const MINUTE_MS = 60_000;

let monotonicMs: number;
let wallMs: number;
let feed: ChangeFeed;
let lease: ShardLease;
let ended: (reason: string) => void;
const clock = { now: () => wallMs, monotonic: () => monotonicMs };

beforeEach(() => {
  monotonicMs = START_MS;
  wallMs = WALL_MS;
  feed = new ChangeFeed(KEYS);
  lease = new ShardLease({ keys: KEYS, feed, clock, onLaggard: () => undefined });
});
afterEach(() => lease.leave());

type Answer = (
  end?: string,
  changes?: { readonly known?: boolean; readonly floor?: number; serverMs?: number },
) => void;

/** A connection whose heartbeats the test answers. */
function connection() {
  const asked: Answer[] = [];
  const ends: string[] = [];
  const call = (args: readonly unknown[]): Promise<Reply> => {
    if (args[1] === 'lk_log') return Promise.resolve(['1', '']);
    return new Promise((resolve) => {
      asked.push((end = '', { known = true, floor = 0, serverMs = wallMs } = {}) =>
        resolve([String(serverMs), known ? '1' : '0', String(floor), end]),
      );
    });
  };
  const session: Session = {
    call,
    callBinary: call,
    subscribe: async () => undefined,
    ended: new Promise((resolve) => {
      ended = resolve;
    }),
    end: (reason) => {
      ends.push(reason);
      ended(reason);
    },
  };
  const answer: Answer = (...reply) => asked.shift()?.(...reply);
  return { session, ends, answer, asked };
}

/** Begins a heart on a new connection; the first heartbeat is under way. */
async function begun() {
  const on = connection();
  await feed.follow(on.session, 'channel');
  const log: string[] = [];
  const options = { session: on.session, leases: [lease], replica: 'r', clock, log: (text: string) => log.push(text) };
  return { ...on, log, started: Heart.start(options, 0) };
}

function endAt(position: number): string {
  const change = { nonce: `n${position}`, key: device('d'), kind: 'RESET', effect: { close: 'NONE' } } as const;
  return `${position} ${entryText(change)}`;
}

test('a lease runs from the moment the heartbeat was sent, not from its reply', async () => {
  const { answer, started } = await begun();
  expect(lease.holds()).toBe(false);
  monotonicMs += 500;
  wallMs += 500;
  answer();
  await started;
  expect(lease.holds()).toBe(true);
  monotonicMs = START_MS + SERVE_MS - 1;
  expect(lease.holds()).toBe(true);
  monotonicMs = START_MS + SERVE_MS;
  expect(lease.holds()).toBe(false);
});

test('a reply that comes too late gives no lease at all', async () => {
  const { answer, started } = await begun();
  monotonicMs += SERVE_MS;
  answer();
  await started;
  expect(lease.holds()).toBe(false);
});

test.each([
  ['a process that was stopped', 5_000, 5_000],
  ['a machine that was suspended: its monotonic clock stood still', 0, 5_000],
  ['a wall clock that stepped back', 0, -1],
  ['a wall clock that stepped forward', 0, SERVE_MS],
])('%s has no lease, before any timer runs', async (_, monotonicStepMs, wallStepMs) => {
  const { answer, started } = await begun();
  answer();
  await started;
  expect(lease.holds()).toBe(true);
  monotonicMs += monotonicStepMs;
  wallMs += wallStepMs;
  expect(lease.holds()).toBe(false);
});

test.each([-1, 1])(
  'a wall clock more than 60 s off that of Redis gives no lease, and is told once (%i)',
  async (sign) => {
    const { answer, started, log, asked } = await begun();
    answer('', { serverMs: wallMs + sign * (MINUTE_MS + 1) });
    await started;
    expect(lease.holds()).toBe(false);
    expect(log).toEqual(['this clock is not that of Redis: nothing is decided until it is']);
    monotonicMs += 200;
    await expect.poll(() => asked.length).toBe(1);
    answer('', { serverMs: wallMs + sign * MINUTE_MS });
    await expect.poll(() => lease.holds()).toBe(true);
    expect(log).toHaveLength(1);
  },
);

test('a log with more than was taken in gives no lease until it is', async () => {
  const { answer, started, asked } = await begun();
  answer(endAt(1));
  await started;
  expect(lease.holds()).toBe(false);
  await feed.wrote({
    ...{ shard: 0, position: toRevision(1), nonce: 'n1', key: device('d') },
    ...{ kind: 'RESET', effect: { close: 'NONE' } },
  });
  monotonicMs += 50;
  await expect.poll(() => asked.length).toBe(1);
  answer(endAt(1));
  await expect.poll(() => lease.holds()).toBe(true);
});

test('messages that do not come end the connection', async () => {
  const { answer, started, asked, ends } = await begun();
  answer(endAt(1));
  await started;
  monotonicMs += 701;
  await expect.poll(() => asked.length).toBe(1);
  answer(endAt(1));
  await expect.poll(() => ends).toEqual(['the messages of changes do not come']);
  expect(lease.holds()).toBe(false);
});

test('a log without the entry that was taken in ends the connection, and gives no lease', async () => {
  const { answer, started, ends } = await begun();
  answer('', { known: false });
  await started;
  expect(ends).toHaveLength(1);
  expect(lease.holds()).toBe(false);
});

test('the reply of a connection that was replaced gives no lease', async () => {
  const first = await begun();
  const second = await begun();
  first.answer();
  await first.started;
  expect(lease.holds()).toBe(false);
  second.answer();
  await second.started;
  expect(lease.holds()).toBe(true);
});

test('a write is settled early only by a heartbeat that was sent after it, on an old connection', async () => {
  const { answer, started, asked } = await begun();
  answer();
  await started;
  monotonicMs += WAIT_MS + 1;
  await expect.poll(() => asked.length).toBe(1);
  let settled = false;
  void lease.settled(1).then(() => {
    settled = true;
  });
  monotonicMs += 1;
  answer(endAt(1), { floor: 1 }); // sent before
  await pause(20);
  expect(settled).toBe(false);
  monotonicMs += 50;
  await expect.poll(() => asked.length).toBe(1);
  answer(endAt(1), { floor: 0 }); // another member is behind
  await pause(20);
  expect(settled).toBe(false);
  monotonicMs += 50;
  await expect.poll(() => asked.length).toBe(1);
  answer(endAt(1), { floor: 1 });
  await expect.poll(() => settled).toBe(true);
  expect(lease.figures).toMatchObject({ settledEarly: 1, settledFull: 0 });
});

test('after a server was replaced nothing is settled until the one before grants no leases', async () => {
  monotonicMs = performance.now();
  const live = { now: Date.now, monotonic: () => performance.now() };
  const own = new ShardLease({ keys: KEYS, feed, clock: live, onLaggard: () => undefined });
  const { session } = connection();
  const sinceMs = performance.now() - WAIT_MS - 1;
  own.begin({ session, sinceMs, settlesFromMs: performance.now() + WAIT_MS + 200 }, () => undefined);
  const begunMs = performance.now();
  await own.settled(1);
  expect(performance.now() - begunMs).toBeGreaterThanOrEqual(WAIT_MS + 150);
});

test('nobody waits for a lease that was given up', async () => {
  const { answer, started } = await begun();
  answer();
  await started;
  lease.leave();
  expect(lease.holds()).toBe(false);
  expect(await lease.waitFor(60_000)).toBe(false);
});
