import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Slowdown } from './slowdown.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('answers are held for their time, no more than so many, and let go at a stop', async () => {
  const slowdown = new Slowdown(3_000, 2);
  const out: string[] = [];
  const hold = (name: string) => slowdown.hold().then(() => out.push(name));
  void hold('a');
  await vi.advanceTimersByTimeAsync(1_000);
  void hold('b');
  void hold('over the bound');
  await vi.advanceTimersByTimeAsync(1_999);
  expect([out, slowdown.held]).toEqual([['over the bound'], 2]);
  await vi.advanceTimersByTimeAsync(1);
  expect([out, slowdown.held]).toEqual([['over the bound', 'a'], 1]);
  slowdown.stop();
  await vi.advanceTimersByTimeAsync(0);
  expect([out, slowdown.held, vi.getTimerCount()]).toEqual([['over the bound', 'a', 'b'], 0, 0]);
});
