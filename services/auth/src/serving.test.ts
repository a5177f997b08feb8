import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { tellServing } from './serving.ts';

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
