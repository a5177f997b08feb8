import { setTimeout as pause } from 'node:timers/promises';
import { timed } from './measure.ts';
import type { ResetFleet } from './reset-fleet.ts';

/** When a replica that was stopped is surely taken out: a full wait until it is marked, one until it goes, and slack. */
const EVICTED_AFTER_MS = 2_500;

/** When one that goes on is surely a member again. */
const BACK_AFTER_MS = 1_500;

/** Resets at a time through one replica, milliseconds each. */
export type StopRound = {
  readonly before: readonly number[];
  /** Those that began after the stop and before the stopped replica was surely taken out. */
  readonly until: readonly number[];
  readonly after: readonly number[];
  /** Once it goes on. */
  readonly back: readonly number[];
};

/** Resets through the first replica, one after the other, while the last one is stopped and goes on. */
export async function resetsBesideAStoppedReplica(fleet: ResetFleet, count: number): Promise<StopRound> {
  const [operator, stopped] = [fleet.operators[0], fleet.replicas.at(-1)];
  if (operator === undefined || stopped === undefined) throw new Error('a fleet without replicas');
  let index = 0;
  const reset = () => timed(() => operator.reset(index++ % count, false));
  const several = async () => {
    const times: number[] = [];
    while (times.length < count) times.push(await reset());
    return times;
  };
  const before = await several();
  stopped.signal('SIGSTOP');
  const until: number[] = [];
  const endMs = performance.now() + EVICTED_AFTER_MS;
  while (performance.now() < endMs) until.push(await reset());
  const after = await several();
  stopped.signal('SIGCONT');
  await pause(BACK_AFTER_MS);
  return { before, until, after, back: await several() };
}
