import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { listenToSignals, SAME_SIGNAL_MS } from './signals.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'])('%s asks for a stop, a later one for a kill', (name) => {
  const source = new EventEmitter();
  const { stop, kill } = listenToSignals(source);
  expect(stop.aborted).toBe(false);
  source.emit(name);
  expect([stop.aborted, kill.aborted]).toEqual([true, false]);
  vi.advanceTimersByTime(SAME_SIGNAL_MS);
  source.emit(name);
  expect(kill.aborted).toBe(true);
});

test('a Ctrl-C that comes twice at once is one', () => {
  const source = new EventEmitter();
  const { kill } = listenToSignals(source);
  source.emit('SIGINT');
  vi.advanceTimersByTime(SAME_SIGNAL_MS - 1);
  source.emit('SIGINT');
  expect(kill.aborted).toBe(false);
});
