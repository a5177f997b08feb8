import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { LoopDelay } from './loop-delay.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('only a delay that lasts counts, and it is forgotten with the first turn in time', () => {
  let nowMs = 0;
  const delay = new LoopDelay(() => nowMs);
  const turn = (lateMs: number) => {
    nowMs += 100 + lateMs;
    vi.advanceTimersByTime(100);
    return delay.sustainedMs;
  };
  expect([turn(0), turn(900), turn(0), turn(0)]).toEqual([0, 0, 0, 0]);
  expect([turn(700), turn(900), turn(800), turn(600), turn(650)]).toEqual([0, 0, 0, 600, 600]);
  expect(turn(3)).toBe(3);
  delay.stop();
  expect(vi.getTimerCount()).toBe(0);
});
