import { toRevision } from '@latchkey/kernel';
import type { Change } from '@latchkey/store';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { entryText } from './entry.ts';
import { ChangeFeed } from './feed.ts';
import { device, onlyShard } from './fixture.ts';
import { REPLY_DEADLINE_MS, type Session } from './session.ts';

// Orders of messages and replies that a real server shows only now and then.

const KEYS = onlyShard();
let feed: ChangeFeed;
let heard: (number | 'lost')[];

beforeEach(() => {
  feed = new ChangeFeed(KEYS);
  heard = [];
  feed.listen({ changed: ({ position }) => heard.push(position), lost: () => heard.push('lost') });
});
afterEach(() => vi.useRealTimers());

function changeAt(position: number, nonce = `n${position}`): Change {
  const key = device(`d${position}`);
  return { shard: 0, position: toRevision(position), nonce, key, kind: 'RESET', effect: { close: 'NONE' } };
}

function messageOf(change: Change): string {
  return `${change.position} ${entryText(change)}`;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

/** A connection to a log of `length` entries; `onPage` runs while a page is under way. */
function sessionOver(length: number, onPage: (push: (change: Change) => void) => void = () => {}) {
  const ends: string[] = [];
  let listener: (message: string) => void = () => {};
  const push = (change: Change) => listener(messageOf(change));
  const call = async (args: readonly unknown[]) => {
    const [position, limit] = [Number(args[4]), Number(args[6])];
    const texts = range(position + 1, Math.min(length, position + limit)).map((at) => messageOf(changeAt(at)));
    onPage(push);
    return ['1', length === 0 ? '' : messageOf(changeAt(length)), ...texts];
  };
  const subscribe = async (_channel: string, hear: (message: string) => void) => {
    listener = hear;
  };
  const end = (reason: string) => ends.push(reason);
  const session: Session = { call, callBinary: call, subscribe, ended: new Promise(() => {}), end };
  return { session, ends, push, say: (message: string) => listener(message) };
}

test('an own write whose reply comes first is heard once, and its message is dropped', async () => {
  const { session, ends, push } = sessionOver(0);
  await feed.follow(session, 'channel');
  await feed.wrote(changeAt(1));
  expect(heard).toEqual([1]);
  push(changeAt(1));
  push(changeAt(2));
  await feed.wrote(changeAt(2));
  await feed.wrote(changeAt(1));
  expect(heard).toEqual([1, 2]);
  expect(ends).toEqual([]);
});

test('what was missed comes in pages, with what is pushed meanwhile behind it', async () => {
  await feed.follow(sessionOver(1).session, 'channel');
  let pages = 0;
  const { session, ends } = sessionOver(2_500, (push) => {
    pages += 1;
    if (pages === 1) push(changeAt(2_500));
    if (pages === 3) for (const position of [2_501, 2_502]) push(changeAt(position));
  });
  await feed.follow(session, 'channel');
  expect(heard).toEqual(range(2, 2_502));
  expect(pages).toBe(3);
  expect(ends).toEqual([]);
});

test('the first connection begins at the end of the log', async () => {
  const { session, push } = sessionOver(1_500);
  await feed.follow(session, 'channel');
  expect(heard).toEqual([]);
  push(changeAt(1_501));
  expect(heard).toEqual([1_501]);
});

test.each([
  ['a gap', messageOf(changeAt(3))],
  ['an old position', messageOf(changeAt(1, 'other'))],
  ['no change', 'hello'],
])('a message with %s ends the connection and is not heard', async (_, message) => {
  const { session, ends, say } = sessionOver(1);
  await feed.follow(session, 'channel');
  say(message);
  expect(heard).toEqual([]);
  expect(ends).toHaveLength(1);
});

test('a message of an earlier connection is not heard twice', async () => {
  const first = sessionOver(1);
  await feed.follow(first.session, 'channel');
  await feed.follow(sessionOver(2).session, 'channel');
  first.push(changeAt(2));
  first.push(changeAt(3));
  expect(heard).toEqual([2]);
});

test('what a replaced server pushes while its successor is caught up with is not heard', async () => {
  const first = sessionOver(1);
  await feed.follow(first.session, 'channel');
  const { session, ends } = sessionOver(2, () => first.push(changeAt(3, 'other')));
  await feed.follow(session, 'channel');
  expect(heard).toEqual([2]);
  expect(ends).toEqual([]);
});

test('a connection that another one has overtaken while it caught up brings nothing more', async () => {
  await feed.follow(sessionOver(1).session, 'channel');
  let overtaken: Promise<void> | undefined;
  const slow = sessionOver(3, () => {
    overtaken ??= feed.follow(sessionOver(2).session, 'channel');
  });
  await expect(feed.follow(slow.session, 'channel')).rejects.toThrow('another connection follows the log');
  await overtaken;
  expect(heard).toEqual([2]);
});

test('a write behind a gap waits until the next connection has caught up', async () => {
  const first = sessionOver(1);
  await feed.follow(first.session, 'channel');
  const written = feed.wrote(changeAt(3));
  expect(first.ends).toHaveLength(1);
  await feed.follow(sessionOver(4).session, 'channel');
  await written;
  expect(heard).toEqual([2, 3, 4]);
});

test('a write behind a gap answers after the deadline, with changes told as lost', async () => {
  vi.useFakeTimers();
  await feed.follow(sessionOver(1).session, 'channel');
  const written = feed.wrote(changeAt(3));
  await vi.advanceTimersByTimeAsync(REPLY_DEADLINE_MS);
  await written;
  expect(heard).toEqual(['lost']);
  await feed.follow(sessionOver(3).session, 'channel');
  expect(heard).toEqual(['lost', 2, 3]);
});
