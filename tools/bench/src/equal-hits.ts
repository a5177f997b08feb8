import { withEqualHits } from './access.ts';
import type { RedisFleet } from './fleet-redis.ts';
import { decideAll, verifierOver } from './in-process.ts';
import { alternate, type Round } from './measure.ts';
import { trialsOf } from './questions.ts';

/** How far apart the shares of hits may be, of 1: a lease that is lost for a moment may turn hits into reads. */
const MAX_APART = 0.01;

/** A fleet, and how many devices it has. */
export type Sized = { readonly fleet: RedisFleet; readonly devices: number };

/** A round of each. */
export type Pair = { readonly a: Round; readonly b: Round };

/** How two fleets are compared. */
export type ComparisonOptions = {
  readonly small: Sized;
  readonly large: Sized;
  /** Records in each cache. */
  readonly cached: number;
  readonly perRound: number;
  readonly rounds: number;
  readonly timestamp: string;
  readonly say: (pair: Pair) => void;
};

/** What was found. CPU time is that of the deciding process and of Redis together. */
export type Comparison = {
  readonly pairs: readonly Pair[];
  /** Questions whose record was in memory, of 1, by round of either side. */
  readonly hitShares: readonly number[];
};

/** Decides on devices of both fleets in turns, with as many of the records in memory. Rejects when they are not. */
export async function atEqualHits(options: ComparisonOptions): Promise<Comparison> {
  const [a, b] = [await sideOf(options.small, options), await sideOf(options.large, options)];
  const pairs = await alternate<Pair>(options.rounds, { a: a.round, b: b.round }, options.say);
  for (const { close } of [a, b]) await close();
  // The first round of each is not measured.
  const hitShares = [...a.hitShares.slice(1), ...b.hitShares.slice(1)];
  const apart = Math.max(...hitShares) - Math.min(...hitShares);
  if (apart > MAX_APART) throw new Error(`the shares of hits are not equal: they lie ${apart.toFixed(3)} apart`);
  return { pairs, hitShares };
}

async function sideOf({ fleet, devices }: Sized, { cached, perRound, timestamp }: ComparisonOptions) {
  const store = await fleet.open();
  const verifier = verifierOver(store, cached);
  await verifier.start();
  const { prime, next } = withEqualHits(cached, devices);
  await decideAll(verifier, trialsOf(prime(), timestamp));
  const hitShares: number[] = [];
  return {
    hitShares,
    round: async (): Promise<Round> => {
      const trials = trialsOf(next(perRound), timestamp);
      const before = await fleet.client.cpuUs();
      const { hits, ...round } = await decideAll(verifier, trials);
      hitShares.push(hits / round.operations);
      return { ...round, cpuUs: round.cpuUs + (await fleet.client.cpuUs()) - before };
    },
    close: async () => {
      await verifier.close();
      await store.close();
    },
  };
}
