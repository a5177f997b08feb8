import { withEqualHits } from './access.ts';
import type { RedisFleet } from './fleet-redis.ts';
import { decideAll, verifierOver } from './in-process.ts';
import { alternate, type Round } from './measure.ts';
import { trialsOf } from './questions.ts';

/** How far apart the shares of hits of a pair may be, of 1: on a machine that is too busy they may be. */
const MAX_APART = 0.01;

/** A fleet, and how many devices it has. */
export type Sized = { readonly fleet: RedisFleet; readonly devices: number };

/** A round; CPU time is that of the deciding process and of Redis together. */
type SizedRound = Round & { /** Questions whose record was in memory, of 1. */ readonly hitShare: number };

/** A round of each. */
export type Pair = { readonly a: SizedRound; readonly b: SizedRound };

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

/**
 * Decides on devices of both fleets in turns; answers the pairs with as many of the records in memory. Rejects when
 * there is none.
 */
export async function atEqualHits(options: ComparisonOptions): Promise<readonly Pair[]> {
  const [a, b] = [await sideOf(options.small, options), await sideOf(options.large, options)];
  const pairs = await alternate<Pair>(options.rounds, { a: a.round, b: b.round }, options.say);
  for (const { close } of [a, b]) await close();
  const equal = pairs.filter((pair) => Math.abs(pair.a.hitShare - pair.b.hitShare) <= MAX_APART);
  if (equal.length === 0) throw new Error('the fleets never had as many hits: the machine is too busy');
  return equal;
}

async function sideOf({ fleet, devices }: Sized, { cached, perRound, timestamp }: ComparisonOptions) {
  const store = await fleet.open();
  const verifier = verifierOver(store, cached);
  await verifier.start();
  const { prime, next } = withEqualHits(cached, devices);
  await decideAll(verifier, trialsOf(prime(), timestamp));
  return {
    round: async (): Promise<SizedRound> => {
      const trials = trialsOf(next(perRound), timestamp);
      const before = await fleet.client.cpuUs();
      const { hits, ...round } = await decideAll(verifier, trials);
      const cpuUs = round.cpuUs + (await fleet.client.cpuUs()) - before;
      return { ...round, cpuUs, hitShare: hits / round.operations };
    },
    close: async () => {
      await verifier.close();
      await store.close();
    },
  };
}
