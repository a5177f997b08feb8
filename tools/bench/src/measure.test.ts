import { expect, test } from 'vitest';
import { alternate, figureOf, quantile, ratioOf } from './measure.ts';

test('a figure is the median with its extremes', () => {
  expect(figureOf([5, 1, 2])).toEqual({ median: 2, min: 1, max: 5 });
  expect(figureOf([10, 4, 1, 2])).toEqual({ median: 3, min: 1, max: 10 });
  expect(() => figureOf([])).toThrow(RangeError);
});

test('an aim is held against the median, from its own side', () => {
  expect(ratioOf([1.2, 1.2, 9], { bound: 'at_most', value: 1.2 }).met).toBe(true);
  expect(ratioOf([1.21, 1.21, 0], { bound: 'at_most', value: 1.2 }).met).toBe(false);
  expect(ratioOf([0.85, 0.85, 0], { bound: 'at_least', value: 0.85 }).met).toBe(true);
  expect(ratioOf([0.84, 0.84, 9], { bound: 'at_least', value: 0.85 }).met).toBe(false);
});

test('a quantile is a value that was measured', () => {
  const values = Array.from({ length: 100 }, (_, index) => 99 - index);
  expect([0, 0.5, 0.99, 1].map((share) => quantile(values, share))).toEqual([0, 50, 99, 99]);
  expect(() => quantile([], 0.5)).toThrow(RangeError);
});

test('sides take turns, and the first pair is not counted', async () => {
  let turns = '';
  const side = (name: string) => () => {
    turns += name;
    return { operations: turns.length, cpuUs: 1, wallMs: 1 };
  };
  const pairs = await alternate(2, { a: side('a'), b: side('b') }, () => undefined);
  expect(turns).toBe('ababab');
  expect(pairs.map(({ a, b }) => [a.operations, b.operations])).toEqual([
    [3, 4],
    [5, 6],
  ]);
});
