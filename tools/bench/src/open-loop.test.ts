import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { atPercent } from './latency.ts';
import { type LoopClock, openLoop } from './open-loop.ts';

/** Time that passes only where somebody waits for it. */
function fakeClock() {
  let nowMs = 1_000;
  const waiting = new Set<{ readonly untilMs: number; readonly wake: () => void }>();
  const sleep = (ms: number) => new Promise<void>((wake) => waiting.add({ untilMs: nowMs + ms, wake }));
  /** Passes to the next moment that somebody waits for. */
  const pass = () => {
    const nextMs = Math.min(...[...waiting].map(({ untilMs }) => untilMs));
    nowMs = Math.max(nowMs, nextMs);
    for (const each of waiting) {
      if (each.untilMs > nowMs) continue;
      waiting.delete(each);
      each.wake();
    }
  };
  const clock: LoopClock = {
    monotonicMs: () => nowMs,
    pause: async (ms) => {
      void sleep(ms);
      pass();
      await setImmediate(); // what was woken runs
    },
  };
  return { clock, sleep, nowMs: () => nowMs, skip: (ms: number) => (nowMs += ms) };
}

test('a question is asked when it is due, and its latency is that of its answer', async () => {
  const { clock, sleep, nowMs } = fakeClock();
  const begun: number[] = [];
  const ask = async () => {
    begun.push(nowMs() - 1_000);
    await sleep(3);
    return true;
  };
  const found = await openLoop({ perSecond: 100, count: 5, maxOpen: 10, ask }, clock);
  expect(begun).toEqual([0, 10, 20, 30, 40]);
  expect(found).toMatchObject({ count: 5, notStarted: 0, notAnswered: 0 });
  expect([50, 100].map((percent) => atPercent(found, percent))).toEqual([3, 3].map((ms) => expect.closeTo(ms, 1)));
});

test('whoever asks too late counts from when it was due', async () => {
  const { clock, skip, nowMs } = fakeClock();
  const begun: number[] = [];
  const ask = async () => {
    begun.push(nowMs() - 1_000);
    if (begun.length === 1) skip(1_000); // nothing runs for a second
    return true;
  };
  const found = await openLoop({ perSecond: 10, count: 11, maxOpen: 100, ask }, clock);
  expect(begun).toEqual([0, ...Array.from({ length: 10 }, () => 1_000)]);
  // Due at 0, 100, 200 and so on to 1,000, and answered at 1,000: late by 1,000, 900 and so on to 0.
  expect([50, 90, 100].map((percent) => atPercent(found, percent) / 100)).toEqual(
    [5, 9, 10].map((hundreds) => expect.closeTo(hundreds, 1)),
  );
});

test('what is due while too many are open is counted, not asked later', async () => {
  const { clock, sleep } = fakeClock();
  let asked = 0;
  const ask = async () => {
    asked++;
    await sleep(1_000);
    return true;
  };
  const found = await openLoop({ perSecond: 10, count: 12, maxOpen: 3, ask }, clock);
  // Three are due at once after another, seven while they are open, and two when they have ended.
  expect([asked, found.count, found.notStarted]).toEqual([5, 5, 7]);
});

test('a question without an answer is counted; a wrong answer is an error', async () => {
  const { clock } = fakeClock();
  const load = { perSecond: 100, count: 4, maxOpen: 2 };
  let asked = 0;
  const found = await openLoop({ ...load, ask: async () => ++asked % 2 === 0 }, clock);
  expect(found).toMatchObject({ count: 4, notAnswered: 2 });
  const wrong = () => Promise.reject(new Error('a right proof was denied'));
  await expect(openLoop({ ...load, ask: wrong }, clock)).rejects.toThrow('a right proof was denied');
});
