import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Retransmission } from './retransmission.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A flight, and the times at which it went out. */
function makeFlight(): { readonly flight: Retransmission; readonly times: number[] } {
  const times: number[] = [];
  const start = performance.now();
  const clock = () => performance.now() - start;
  const flight = new Retransmission({ send: () => times.push(clock()), firstMs: 1_000, clock });
  flight.start();
  return { flight, times };
}

test('it goes out again after waits that double up to a minute, ten times in all', () => {
  const { times } = makeFlight();
  vi.advanceTimersByTime(3_600_000);
  const waits = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
});

test('a pause holds it until it goes on', () => {
  const { flight, times } = makeFlight();
  flight.pause();
  flight.nudge();
  vi.advanceTimersByTime(3_600_000);
  expect(times).toEqual([0]);
  flight.resume();
  vi.advanceTimersByTime(1_000);
  expect(times).toEqual([0, 3_601_000]);
});

test('a client that asks gets it at once, but not for each record of its flight', () => {
  const { flight, times } = makeFlight();
  flight.nudge();
  vi.advanceTimersByTime(250);
  for (let records = 0; records < 5; records++) flight.nudge();
  expect(times).toEqual([0, 250]);
});

test('asking does not go beyond ten', () => {
  const { flight, times } = makeFlight();
  for (let count = 0; count < 50; count++) {
    vi.advanceTimersByTime(250);
    flight.nudge();
  }
  vi.advanceTimersByTime(3_600_000);
  expect(times).toHaveLength(10);
});
