import { systemClock, systemRandom } from '@latchkey/kernel';
import { generateKeyLine, HEADER_BYTES, parseKeyring, type Store } from '@latchkey/store';
import { partsRound } from './cold-parts.ts';
import { deviceIdOf, timestampOf } from './devices.ts';
import { growFleets } from './fleet-records.ts';
import { keyOf, type RedisFleet, startRedisFleet } from './fleet-redis.ts';
import { decideAll, IN_FLIGHT, inProcess, verifierOver } from './in-process.ts';
import { alternate, cpuUs, type Figure, type Findings, figureOf, perSecond, type Round, ratioOf } from './measure.ts';
import { type Suite, sizeOf } from './plan.ts';
import { whatIsMissing } from './programs.ts';
import { type Trial, trialsOf } from './questions.ts';
import { redisBenchmark } from './redis-benchmark.ts';
import { connectRedis, type RedisClient } from './redis-client.ts';
import { useCosts } from './use-cost.ts';

/** The windows of a round, one for each side, must fit into the fleet: no side reads what another one has just read. */
const SIZES = {
  full: { devices: 400_000, perRound: 100_000, rounds: 9 },
  quick: { devices: 100_000, perRound: 25_000, rounds: 5 },
};
/** The part of a round that may be decided on from memory. */
const MAX_CACHED = 0.01;

const AIM = { bound: 'at_least', value: 1 } as const;

/** A reference without an aim. */
const BENCHMARK = 'redis_benchmark_get_per_s';

/** One round of one side, and what it cost Redis. */
type RedisRound = Round & { readonly redisCpuUs: number };

/** One round of all sides. */
type Turn = {
  readonly get: RedisRound;
  readonly lean: RedisRound;
  readonly parts: RedisRound;
  readonly cold: RedisRound;
};

/**
 * Decisions with nothing cached, over a real Redis, against GETs of the same records by node-redis in this same process:
 * so many a second, and by CPU time. The ratio is of node-redis as it comes; beside it stands one that is set as the store's
 * own connections are, without a deadline of its own for each command. Of a decision all is counted that the auth service
 * does: the record is read, opened and unpacked, the proof verified, and the last use told to Redis. Between the two lies
 * what no decision can do without, which says how near to a GET one could come at all.
 */
export const coldSuite: Suite = async (plan) => {
  const { devices, perRound, rounds } = sizeOf(plan, SIZES);
  plan.say(`cold: ${devices} devices, ${rounds} rounds of ${perRound}`);
  const keyring = parseKeyring(generateKeyLine('bench', systemRandom));
  const fleet = await startRedisFleet(plan.processes, keyring);
  await growFleets({ from: 0, to: devices }, keyring, [fleet]);
  await fleet.persist();
  const store = await fleet.open();
  const clients = { get: await connectRedis(fleet.url, { lean: false }), lean: await connectRedis(fleet.url) };
  for (const client of Object.values(clients)) plan.processes.add(async () => client.close());
  const next = windowsOf(devices, perRound);
  const timestamp = timestampOf(systemClock.now());
  const sides = {
    get: () => withRedisCpu(fleet, () => getRound(clients.get, next())),
    lean: () => withRedisCpu(fleet, () => getRound(clients.lean, next())),
    parts: () => withRedisCpu(fleet, () => partsRound(clients.lean, keyring, next(), timestamp)),
    cold: () => withRedisCpu(fleet, () => decisionRound(store, trialsOf(next(), timestamp))),
  };
  const turns = await alternate<Turn>(rounds, sides, ({ get, parts, cold }) =>
    plan.say(
      `cold: GET ${cpuUs(get).toFixed(1)} us, parts ${cpuUs(parts).toFixed(1)} us, decision ${cpuUs(cold).toFixed(1)} us`,
    ),
  );
  const missing = whatIsMissing({ 'redis-benchmark': 'redis-tools' });
  const asked = { requests: perRound, inFlight: IN_FLIGHT, key: keyOf(deviceIdOf(0)) };
  const benchmark = missing ?? (await redisBenchmark(fleet.url, asked));
  const uses = await useCosts(fleet, store, rounds);
  await store.close();
  return findingsOf(turns, uses, benchmark);
};

/** Indexes of the next window of the fleet, around and around. */
function windowsOf(devices: number, size: number): () => readonly number[] {
  let first = 0;
  return () => {
    first = (first + size) % devices;
    return Array.from({ length: size }, (_, offset) => (first + offset) % devices);
  };
}

async function withRedisCpu({ client }: RedisFleet, act: () => Promise<Round>): Promise<RedisRound> {
  const before = await client.cpuUs();
  const round = await act();
  return { ...round, redisCpuUs: (await client.cpuUs()) - before };
}

function getRound(client: RedisClient, indexes: readonly number[]): Promise<Round> {
  const keys = indexes.map((index) => keyOf(deviceIdOf(index)));
  return inProcess(keys, async (key) => {
    const record = await client.get(key);
    if (record === null || record.length <= HEADER_BYTES) throw new Error(`${key} is no record`);
  });
}

async function decisionRound(store: Store, trials: readonly Trial[]): Promise<Round> {
  const verifier = verifierOver(store, trials.length);
  await verifier.start();
  const round = await decideAll(verifier, trials);
  await verifier.close();
  // What was asked for again may have been read before, and so has what was under way when a busy machine lost its lease.
  if (round.hits > round.repeats + MAX_CACHED * trials.length)
    throw new Error(`${round.hits} of ${trials.length} records were cached`);
  return round;
}

/** `benchmark`: GETs a second, or why they were not measured. */
function findingsOf(turns: readonly Turn[], uses: readonly number[], benchmark: number | string): Findings {
  const figure = (of: (turn: Turn) => number): Figure => figureOf(turns.map(of));
  const over = (side: 'get' | 'lean' | 'parts') => (turn: Turn) => perSecond(turn.cold) / perSecond(turn[side]);
  const redisUs = ({ redisCpuUs, operations }: RedisRound) => redisCpuUs / operations;
  return {
    ratios: { cold_over_redis_get: ratioOf(turns.map(over('get')), AIM) },
    rates: {
      cold_over_redis_get_by_cpu: figure(({ get, cold }) => cpuUs(get) / cpuUs(cold)),
      cold_over_lean_redis_get: figure(over('lean')),
      cold_over_parts: figure(over('parts')),
      cold_parts_over_redis_get: figure(({ get, parts }) => perSecond(parts) / perSecond(get)),
      cold_parts_cpu_us: figure(({ parts }) => cpuUs(parts)),
      cold_decisions_per_s: figure(({ cold }) => perSecond(cold)),
      cold_cpu_us_per_decision: figure(({ cold }) => cpuUs(cold)),
      cold_redis_cpu_us_per_decision: figure(({ cold }) => redisUs(cold)),
      use_redis_cpu_us: figureOf(uses),
      redis_get_per_s: figure(({ get }) => perSecond(get)),
      redis_get_cpu_us: figure(({ get }) => cpuUs(get)),
      redis_get_redis_cpu_us: figure(({ get }) => redisUs(get)),
      lean_redis_get_per_s: figure(({ lean }) => perSecond(lean)),
      lean_redis_get_cpu_us: figure(({ lean }) => cpuUs(lean)),
      ...(typeof benchmark === 'number' ? { [BENCHMARK]: figureOf([benchmark]) } : {}),
    },
    absent: typeof benchmark === 'string' ? { [BENCHMARK]: benchmark } : {},
  };
}
