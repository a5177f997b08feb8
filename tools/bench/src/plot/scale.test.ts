import { expect, test } from 'vitest';
import { linearScale, logScale, percentScale } from './scale.ts';

const labels = (scale: { readonly ticks: readonly { readonly label: string }[] }) =>
  scale.ticks.map(({ label }) => label);

test('a linear axis begins at 0 and ends at a round number', () => {
  expect(labels(linearScale(4.4))).toEqual(['0', '1', '2', '3', '4', '5']);
  expect(labels(linearScale(0.03))).toEqual(['0', '0.005', '0.01', '0.015', '0.02', '0.025', '0.03']);
  expect(labels(linearScale(12_000_000))).toEqual(['0', '2 M', '4 M', '6 M', '8 M', '10 M', '12 M']);
  expect([0, 2.5, 5].map(linearScale(4.4).at)).toEqual([0, 0.5, 1]);
});

test('a logarithmic axis has whole decades when it is long, and steps of 1, 2 and 5 when it is short', () => {
  expect(labels(logScale(1_000, 10_000_000))).toEqual(['1 k', '10 k', '100 k', '1 M', '10 M']);
  expect(labels(logScale(0.35, 9))).toEqual(['0.2', '0.5', '1', '2', '5', '10']);
  expect(labels(logScale(3, 3))).toEqual(['2', '5']);
  expect([1, 10, 100].map(logScale(1, 100).at)).toEqual([0, 0.5, 1]);
});

test('each further nine takes the same length', () => {
  const { at, ticks } = percentScale(99.99);
  expect(ticks.map(({ value }) => value)).toEqual([0, 50, 90, 99, 99.9, 99.99]);
  const nines = [0, 90, 99, 99.9, 99.99].map((percent) => at(percent) * 4);
  for (const [index, nine] of nines.entries()) expect(nine).toBeCloseTo(index);
});
