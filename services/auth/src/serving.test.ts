import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { decidesForMost, tellServing } from './serving.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('health follows the lease within a second, and ends with the service', () => {
  const said = new Map<string, boolean>();
  let holds = false;
  const stop = tellServing(
    { set: (service, serving) => said.set(service === '' ? '' : service.typeName, serving) },
    { holds: () => holds },
  );
  const now = () => Object.fromEntries(said);
  expect(now()).toEqual({ '': true, 'latchkey.v1.AuthenticationService': false });
  holds = true;
  vi.advanceTimersByTime(1_000);
  expect(now()).toEqual({ '': true, 'latchkey.v1.AuthenticationService': true });
  holds = false;
  vi.advanceTimersByTime(1_000);
  expect(now()).toEqual({ '': true, 'latchkey.v1.AuthenticationService': false });
  holds = true;
  stop();
  vi.advanceTimersByTime(1_000);
  expect(now()).toEqual({ '': false, 'latchkey.v1.AuthenticationService': false });
});

test('a replica is healthy while it may decide for most logs', () => {
  const held = (shards: number, leases: number) => decidesForMost({ shards, leases_held: leases });
  expect([held(1, 1), held(16, 16), held(16, 10), held(16, 9)]).toEqual([true, true, true, true]);
  expect([held(1, 0), held(16, 8), held(16, 0)]).toEqual([false, false, false]);
});
