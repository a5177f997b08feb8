import { expect, test } from 'vitest';
import { Backoff } from './backoff.ts';

test('waits double to a bound, spread over their upper half, and begin anew', () => {
  const longest = new Backoff((size) => new Uint8Array(size).fill(255));
  const shortest = new Backoff((size) => new Uint8Array(size));
  const steps = (backoff: Backoff) => Array.from({ length: 6 }, () => Math.round(backoff.nextMs()));
  expect(steps(longest)).toEqual([200, 400, 800, 1600, 2000, 2000]);
  expect(steps(shortest)).toEqual([100, 200, 400, 800, 1000, 1000]);
  shortest.reset();
  expect(shortest.nextMs()).toBe(100);
});
