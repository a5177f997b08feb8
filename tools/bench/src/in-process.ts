import { DEFAULT_SETTINGS } from '@latchkey/credential';
import { systemClock, systemRandom } from '@latchkey/kernel';
import type { Store } from '@latchkey/store';
import { Verifier } from '@latchkey/verifier';
import type { Round } from './measure.ts';
import { forEach } from './operator.ts';
import { checkAnswer, decided, type Trial } from './questions.ts';

/** Questions, or whatever they are held against, under way at a time: devices that connect at once at one gateway. */
export const IN_FLIGHT = 256;

/** The auth service's own, by default. */
const FAILURES = { burst: 20, intervalMs: 5_000 };

/** A verifier as the auth service makes it, which keeps so many devices in memory. The caller starts and closes it. */
export function verifierOver(store: Store, maxRecords: number): Verifier {
  const around = { clock: systemClock, random: systemRandom, settings: DEFAULT_SETTINGS };
  return new Verifier({ store, ...around, failures: FAILURES, maxRecords });
}

/** Does something for each item, as many at a time as there are questions; CPU time is that of this process. */
export async function inProcess<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<Round> {
  const [before, begunMs] = [process.cpuUsage(), performance.now()];
  await forEach(items.length, (index) => act(items[index] as T), IN_FLIGHT);
  const [wallMs, { user, system }] = [performance.now() - begunMs, process.cpuUsage(before)];
  return { operations: items.length, cpuUs: user + system, wallMs };
}

/** What a round of decisions found in the cache. */
export type DecisionRound = Round & {
  /** Questions whose record was in memory. */
  readonly hits: number;
  /** Questions that were asked again, as no decision could be made. */
  readonly repeats: number;
};

/** Has all of these decided. Rejects when an answer is not what it has to be. */
export async function decideAll(verifier: Verifier, trials: readonly Trial[]): Promise<DecisionRound> {
  let [hits, repeats] = [0, 0];
  const round = await inProcess(trials, async (trial) => {
    const answer = await decided(verifier, trial.question);
    checkAnswer(trial, answer);
    if (answer.cacheAgeMs > 0) hits++;
    repeats += answer.tries - 1;
  });
  return { ...round, hits, repeats };
}
