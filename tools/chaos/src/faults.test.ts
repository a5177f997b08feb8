import { expect, it } from 'vitest';
import { chanceOf } from './chance.ts';
import { FAULT_KINDS, type FaultKind, scheduleOf, upsets } from './faults.ts';

const of = (seed: number, lengthMs = 60_000) =>
  scheduleOf(chanceOf(seed), { kinds: FAULT_KINDS, lengthMs, replicas: 3, gateways: 2 });

it('is determined by the seed alone', () => {
  expect(of(7)).toEqual(of(7));
  expect(of(7)).not.toEqual(of(8));
});

it('brings every kind within a minute, over all replicas, in the order of time', () => {
  for (let seed = 0; seed < 50; seed++) {
    const faults = of(seed);
    expect(new Set(faults.map(({ kind }) => kind)).size).toBe(FAULT_KINDS.length);
    expect(new Set(faults.map(({ replica }) => replica))).toEqual(new Set([0, 1, 2]));
    expect(faults.map(({ atMs }) => atMs)).toEqual(faults.map(({ atMs }) => atMs).sort((a, b) => a - b));
    expect(faults.every(({ atMs, durationMs }) => atMs < 60_000 && durationMs >= 100 && durationMs <= 5_000)).toBe(
      true,
    );
  }
});

it('has nothing without kinds', () => {
  expect(scheduleOf(chanceOf(1), { kinds: [], lengthMs: 60_000, replicas: 3, gateways: 2 })).toEqual([]);
});

it('knows which gateways a fault upsets', () => {
  const upset = (kind: FaultKind, replica: number, gateway: number) => {
    const fault = { kind, replica, gateway, atMs: 0, durationMs: 0, skewMs: 0 };
    return [0, 1].filter((each) => upsets(fault, each, 3));
  };
  // The first one is told of the first replica, the other one of all.
  expect(upset('kill-replica', 1, 0)).toEqual([1]);
  expect(upset('lag', 0, 1)).toEqual([0, 1]);
  expect(upset('clock-jump', 2, 0)).toEqual([1]);
  expect(upset('hole-gateway', 0, 1)).toEqual([1]);
  expect(upset('freeze-gateway', 2, 0)).toEqual([0]);
  expect(upset('pause-all', 2, 0)).toEqual([0, 1]);
  expect(upset('kill-subscribers', 2, 0)).toEqual([0, 1]);
  expect(upset('failover', 2, 0)).toEqual([0, 1]);
  expect(upset('burst', 0, 0)).toEqual([]);
});
