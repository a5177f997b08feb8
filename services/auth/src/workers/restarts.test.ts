import { expect, test } from 'vitest';
import { Restarts } from './restarts.ts';

const SOON = 1_000;

test('the pause doubles up to half a minute while a worker ends soon after its start', () => {
  const restarts = new Restarts(2);
  const pauses = Array.from({ length: 10 }, () => restarts.ended(1, SOON, 1));
  expect(pauses).toEqual([200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
});

test('a worker that ran for a minute is no failure', () => {
  const restarts = new Restarts(1);
  for (let count = 0; count < 4; count++) restarts.ended(1, SOON, 0);
  expect(restarts.ended(1, 60_000, 0)).toBe(200);
});

test('it gives up only when no worker serves and every one has failed six times in a row', () => {
  const restarts = new Restarts(2);
  for (let count = 0; count < 20; count++) expect(restarts.ended(1, SOON, 0)).toEqual(expect.any(Number));
  for (let count = 0; count < 5; count++) expect(restarts.ended(2, SOON, 0)).toEqual(expect.any(Number));
  expect(restarts.ended(2, SOON, 1)).toEqual(expect.any(Number));
  expect(restarts.ended(1, SOON, 0)).toBeUndefined();
});
