import { expect, test } from 'vitest';
import { atPercent, distributionOf, LatencyRecorder } from './latency.ts';

test('a distribution has the values at the percentiles, as far as its count carries', () => {
  const found = distributionOf(Array.from({ length: 1_000 }, (_, index) => 1_000 - index));
  expect(found.count).toBe(1_000);
  for (const [percent, ms] of [
    [50, 500],
    [90, 900],
    [99, 990],
    [99.9, 999],
    [100, 1_000],
  ] as const)
    expect(atPercent(found, percent) / ms).toBeCloseTo(1, 2);
  const percents = found.percentiles.map(({ percent }) => percent);
  expect(percents.slice(0, 12)).toEqual([10, 20, 30, 40, 50, 60, 70, 80, 90, 91, 92, 93]);
  expect(percents.slice(-3)).toEqual([99.8, 99.9, 100]);
});

test('a time keeps three digits, and one beyond all bounds counts as the longest', () => {
  const found = distributionOf([0.1234, 98_765.4]);
  expect(atPercent(found, 50)).toBe(0.123);
  expect(atPercent(found, 100) / 98_765.4).toBeCloseTo(1, 2);
  expect(atPercent(distributionOf([Number.MAX_SAFE_INTEGER]), 100) / 3_600_000).toBeCloseTo(1, 2);
});

test('a single value is the whole distribution; without one there is none', () => {
  expect(distributionOf([2])).toEqual({ count: 1, percentiles: [{ percent: 100, ms: 2 }] });
  expect(() => new LatencyRecorder().distribution()).toThrow(RangeError);
});
