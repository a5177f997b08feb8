import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { type Distribution, LatencyRecorder } from './latency.ts';

/** A timer may be late by so much; what is due sooner is waited for by looking again and again. */
const TIMER_SLACK_MS = 2;

/** The time, and a way to let it pass. */
export type LoopClock = {
  readonly monotonicMs: () => number;
  /** Lets other work run; returns after so many milliseconds or sooner. */
  readonly pause: (ms: number) => Promise<unknown>;
};

/** A load whose questions are due at moments that no answer can put off. */
export type OpenLoop = {
  readonly perSecond: number;
  readonly count: number;
  /** Questions open at a time; one that is due beyond that is not started. */
  readonly maxOpen: number;
  /** Whether it was answered; rejects on a wrong answer. */
  readonly ask: () => Promise<boolean>;
};

/** The clock of this process. */
export const REAL_CLOCK: LoopClock = {
  monotonicMs: () => performance.now(),
  pause: (ms) => (ms > TIMER_SLACK_MS ? sleep(ms - TIMER_SLACK_MS) : setImmediate()),
};

/**
 * Asks at a fixed rate. Latency counts from the moment at which a question was due, so that a server which stops is
 * charged with every question of that time and not with the one alone that happened to be open. Rejects on the first
 * wrong answer.
 */
export async function openLoop(
  { perSecond, count, maxOpen, ask }: OpenLoop,
  clock = REAL_CLOCK,
): Promise<Distribution> {
  const { monotonicMs, pause } = clock;
  const recorder = new LatencyRecorder();
  const begunMs = monotonicMs();
  const dueMs = (index: number) => begunMs + (index * 1_000) / perSecond;
  let [open, notStarted, notAnswered] = [0, 0, 0];
  let wrong: unknown;
  const start = async (intendedMs: number) => {
    open++;
    try {
      if (!(await ask())) notAnswered++;
      recorder.record(monotonicMs() - intendedMs);
    } catch (error) {
      wrong ??= error;
    }
    open--;
  };
  for (let next = 0; (next < count || open > 0) && wrong === undefined; ) {
    for (const nowMs = monotonicMs(); next < count && dueMs(next) <= nowMs; next++) {
      if (open < maxOpen) void start(dueMs(next));
      else notStarted++;
    }
    await pause(next < count ? dueMs(next) - monotonicMs() : 1);
  }
  if (wrong !== undefined) throw wrong;
  return { ...recorder.distribution(), notStarted, notAnswered };
}
