import { systemRandom } from '@latchkey/kernel';
import { generateKeyLine, parseKeyring } from '@latchkey/store';
import type { Curve } from './curve.ts';
import { startRedisFleet } from './fleet-redis.ts';
import { type Findings, figureOf, quantile } from './measure.ts';
import { type Costs, type Members, membersAt } from './members.ts';
import { type Suite, sizeOf } from './plan.ts';
import { watcherCost } from './watchers.ts';

/** A round is so many changes; the devices are those that watchers are told of. */
const SIZES = {
  full: { devices: 500, perRound: 500, rounds: 3 },
  quick: { devices: 200, perRound: 100, rounds: 1 },
};

/** Replicas at a time. All are in one process here, which has a core at most: more of them would only wait for it. */
const REPLICAS = [1, 10, 100] as const;

const IDLE_MS = 2_000;
const WATCHERS = 100;

/**
 * What replicas cost Redis, while nothing happens and for each change, and how long a change takes until all have heard of
 * it, as they become more. Then what a replica spends on telling gateways of changes. Redis syncs every write.
 */
export const replicasSuite: Suite = async (plan) => {
  const { devices, perRound: changes, rounds } = sizeOf(plan, SIZES);
  const idleMs = IDLE_MS * Math.min(1, plan.scale);
  plan.say(`replicas: ${REPLICAS.join(', ')} of them, ${rounds} rounds of ${changes} changes`);
  const fleet = await startRedisFleet(plan.processes, parseKeyring(generateKeyLine('bench', systemRandom)));
  await fleet.persist();
  const found: Members[][] = [];
  const watched: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const turn: Members[] = [];
    for (const replicas of REPLICAS) {
      const members = await membersAt(fleet, { replicas, changes, idleMs });
      turn.push(members);
      plan.say(`replicas: with ${replicas} a change is settled after ${quantile(members.settleMs, 0.5).toFixed(1)} ms`);
    }
    found.push(turn);
    watched.push(await watcherCost(plan, { watchers: WATCHERS, changes: devices }));
  }
  return { ratios: {}, rates: ratesOf(found, watched), curves: curvesOf(found) };
};

/** What one more replica adds, from the fewest to the most. */
function slopeOf(turn: readonly Members[], of: (members: Members) => number): number {
  const [few, many] = [turn.at(0), turn.at(-1)];
  if (few === undefined || many === undefined || few === many)
    throw new RangeError('two counts of replicas make a slope');
  return (of(many) - of(few)) / (many.replicas - few.replicas);
}

function ratesOf(found: readonly (readonly Members[])[], watched: readonly number[]): Findings['rates'] {
  const slope = (of: (members: Members) => number) => figureOf(found.map((turn) => slopeOf(turn, of)));
  const alone = (of: (members: Members) => number) => figureOf(found.map((turn) => of(turn[0] as Members)));
  const most = (of: (members: Members) => number) => figureOf(found.map((turn) => of(turn.at(-1) as Members)));
  return {
    replica_idle_redis_cpu_us_per_s: slope(({ idleRedisUs }) => idleRedisUs),
    change_redis_cpu_us: alone(({ calm }) => calm.redisUs),
    change_and_replica_redis_cpu_us: slope(({ calm }) => calm.redisUs),
    change_and_replica_redis_cpu_us_busy: slope(({ busy }) => busy.redisUs),
    change_and_replica_cpu_us: slope(({ calm }) => calm.replicasUs),
    [`changes_per_s_${REPLICAS.at(-1)}_replicas`]: most(({ busy }) => busy.changesPerS),
    change_and_watcher_cpu_us: figureOf(watched),
  };
}

function curvesOf(found: readonly (readonly Members[])[]): Readonly<Record<string, Curve>> {
  const points = (of: (members: Members) => number) =>
    REPLICAS.map((replicas, at) => ({ x: replicas, y: figureOf(found.map((turn) => of(turn[at] as Members))).median }));
  const cost = (of: (members: Members) => Costs) => points((members) => of(members).redisUs);
  return {
    replicas_settle: {
      ...{ title: 'A change until every replica has heard of it', x: 'replicas', y: 'milliseconds' },
      series: {
        p50: points(({ settleMs }) => quantile(settleMs, 0.5)),
        p99: points(({ settleMs }) => quantile(settleMs, 0.99)),
      },
    },
    replicas_redis_cpu: {
      ...{ title: 'What a change costs Redis', x: 'replicas', y: 'CPU of Redis, µs' },
      series: { 'one after the other': cost(({ calm }) => calm), '64 at a time': cost(({ busy }) => busy) },
    },
  };
}
