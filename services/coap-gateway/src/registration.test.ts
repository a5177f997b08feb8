import type { DeviceId } from '@latchkey/kernel';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ByteBudget } from './coap/byte-budget.ts';
import { Receivers } from './receivers.ts';
import { Registration } from './registration.ts';

const DEVICE = 'P1_n1' as DeviceId;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A registration of a device that answers nothing. */
function begun(lifetimeS: number) {
  const receivers = new Receivers();
  const expired = vi.fn();
  const registration = new Registration({
    ...{ receivers, expired, budget: new ByteBudget(1_000), maxDataBytes: 1_200 },
    conversation: {
      isObserved: false,
      ask: () => new Promise(() => {}),
      notify: () => new Promise(() => {}),
      observe: () => {},
      endObservation: () => {},
      forgetObserver: () => {},
    },
  });
  registration.begin(DEVICE, lifetimeS, async () => true);
  return { registration, receivers, expired };
}

test('it lives for its lifetime and not longer', () => {
  const { receivers, expired } = begun(300);
  vi.advanceTimersByTime(299_999);
  expect([receivers.size, expired.mock.calls.length]).toEqual([1, 0]);
  vi.advanceTimersByTime(1);
  expect([receivers.size, expired.mock.calls.length]).toEqual([0, 1]);
});

test('an update begins it anew, with the same lifetime or another one', () => {
  const { registration, receivers } = begun(300);
  vi.advanceTimersByTime(200_000);
  expect(registration.update(undefined)).toBe(true);
  vi.advanceTimersByTime(200_000);
  expect(registration.update(1_000)).toBe(true);
  vi.advanceTimersByTime(999_999);
  expect(receivers.size).toBe(1);
  vi.advanceTimersByTime(1);
  expect(receivers.size).toBe(0);
  expect(registration.update(1_000)).toBe(false);
  expect(receivers.size).toBe(0);
});

test.each(['end', 'close'] as const)('after its %s it expires no more, and what waits is given up', (way) => {
  const { registration, receivers, expired } = begun(300);
  const ended: string[] = [];
  for (const text of ['under way', 'waiting']) {
    const note = ({ outcome }: { readonly outcome: string }) => ended.push(`${text} ${outcome}`);
    receivers.of(DEVICE)?.receive({ kind: 'COMMAND', payload: Buffer.from(text), ended: note });
  }
  registration[way]();
  vi.advanceTimersByTime(1_000_000);
  expect([receivers.size, expired.mock.calls.length, vi.getTimerCount()]).toEqual([0, 0, 0]);
  expect(ended).toEqual(['waiting CLOSED']);
});
