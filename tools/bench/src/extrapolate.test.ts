import { expect, test } from 'vitest';
import { needsOf, type Prices } from './extrapolate.ts';

const PRICES: Prices = {
  ...{ warmUs: 5, missUs: 20, readRedisUs: 1, useRedisUs: 2, cachedBytes: 300 },
  ...{ recordBytes: 300, indexBytes: 120, usageBytes: 140 },
  ...{ beatUs: 100, changeUs: 100, changeReplicaUs: 10, watcherUs: 10 },
};
const GOAL = { devices: 1e8, decisionsPerS: 1e6, hitShare: 0.9, changesPerS: 100 };

test('a hundred million devices and a million decisions a second', () => {
  const needs = needsOf(PRICES, GOAL);
  // 1e6 decisions at 5 us, and 1e5 misses at 20 us; 100 changes to 1000 gateways at 10 us.
  expect(needs.authCores).toBeCloseTo(5 + 2);
  expect(needs.gateways).toBe(1_000);
  expect(needs.watchCores).toBeCloseTo(1);
  expect(needs.authProcesses).toBe(16);
  expect(needs.wholeCacheBytes).toBe(3e10);
  // 1e5 reads at 1 us, a use of every decision at 2 us, 100 changes at 100 us and 10 us for each of 16 processes.
  expect(needs.readCores).toBeCloseTo(0.1);
  expect(needs.useCores).toBeCloseTo(2);
  expect(needs.changeCores).toBeCloseTo(0.026);
  // 56 GB, 16 GiB each; the work alone asks for 5.
  expect(needs.redisBytes).toBe(5.6e10);
  expect(needs.primaries).toBe(5);
  expect(needs.beatCores).toBeCloseTo(16 * 5 * 1e-4);
  // 1e8 decisions at 25 us by 16 processes.
  expect(needs.reconnectS).toBeCloseTo(156.25);
});

test('memory asks for primaries where the work does not', () => {
  expect(needsOf(PRICES, { ...GOAL, decisionsPerS: 1_000 }).primaries).toBe(4);
});

test('without hits every decision is read', () => {
  const needs = needsOf(PRICES, { ...GOAL, hitShare: 0 });
  expect(needs.authCores).toBeCloseTo(25);
  expect(needs.readCores).toBeCloseTo(1);
});
