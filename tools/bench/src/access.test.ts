import { LRUCache } from 'lru-cache';
import { expect, test } from 'vitest';
import { drawn, withEqualHits } from './access.ts';

function hitsOf(cache: LRUCache<number, true>, indexes: Iterable<number>): number {
  let hits = 0;
  for (const index of indexes) {
    if (cache.get(index)) hits++;
    else cache.set(index, true);
  }
  return hits;
}

test.each([2_000, 5_000, 1_000_000])('of %i devices nine of ten are in a cache of 1000', (devices) => {
  const cache = new LRUCache<number, true>({ max: 1_000 });
  const { prime, next } = withEqualHits(1_000, devices);
  expect(hitsOf(cache, prime())).toBe(0);
  for (let round = 0; round < 5; round++) expect(hitsOf(cache, next(10_000))).toBe(9_000);
});

test('the others ask in turn, each once in a round of all', () => {
  const asked = [...withEqualHits(100, 260).next(2_500)].filter((index) => index >= 10);
  expect(asked).toHaveLength(250);
  expect(new Set(asked).size).toBe(250);
  expect(Math.max(...asked)).toBeLessThan(260);
});

test('uniform access hits a cache by its share of the fleet, Zipf far more often', () => {
  const share = (access: 'Zipf' | 'uniform') => {
    const cache = new LRUCache<number, true>({ max: 1_000 });
    hitsOf(cache, drawn(access, 20_000, 10_000));
    return hitsOf(cache, drawn(access, 20_000, 10_000)) / 20_000;
  };
  expect(share('uniform')).toBeCloseTo(0.1, 1);
  expect(share('Zipf')).toBeGreaterThan(0.6);
});
