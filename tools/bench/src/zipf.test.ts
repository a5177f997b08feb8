import { expect, test } from 'vitest';
import { seededUniform, zipfIndexes } from './zipf.ts';

const SIZE = 100;
const SAMPLES = 100_000;

test('the second device comes up half as often as the first, the tenth a tenth as often', () => {
  const counts = new Array<number>(SIZE).fill(0);
  for (const index of zipfIndexes(SAMPLES, SIZE, seededUniform(7))) counts[index] = (counts[index] ?? 0) + 1;
  const [first = 0, second, , , , , , , , tenth] = counts.toSorted((left, right) => right - left);
  // The first of 100 has 1 / (1 + 1/2 + ... + 1/100) of all.
  expect(first / SAMPLES).toBeCloseTo(1 / 5.187, 2);
  expect((second ?? 0) / first).toBeCloseTo(1 / 2, 1);
  expect((tenth ?? 0) / first).toBeCloseTo(1 / 10, 1);
  expect(Math.min(...counts)).toBeGreaterThan(0);
});

test('the same seed gives the same work', () => {
  expect(zipfIndexes(10, SIZE, seededUniform(7))).toEqual(zipfIndexes(10, SIZE, seededUniform(7)));
  expect(zipfIndexes(10, SIZE, seededUniform(7))).not.toEqual(zipfIndexes(10, SIZE, seededUniform(8)));
});
