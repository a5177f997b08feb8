import { setTimeout as pause } from 'node:timers/promises';
import { systemClock } from '@latchkey/kernel';
import { type BareWriter, bareWriter } from './bare-write.ts';
import { deviceIdOf, timestampOf } from './devices.ts';
import { type Followers, follow } from './followers.ts';
import { kickTimes } from './kicks.ts';
import { distributionOf } from './latency.ts';
import { type Findings, figureOf, quantile, ratioOf, timed } from './measure.ts';
import { forEach, type Operator } from './operator.ts';
import { type Suite, sizeOf } from './plan.ts';
import { type ResetFleet, startResetFleet } from './reset-fleet.ts';
import { resetsBesideAStoppedReplica, type StopRound } from './stopped.ts';

const REPLICAS = 3;

/** A round is so many resets one after the other, each next to a bare write. */
const SIZES = {
  full: { devices: 2_000, perRound: 300, rounds: 9 },
  quick: { devices: 400, perRound: 100, rounds: 3 },
};

/** Resets at full speed, and kicks, for each reset of a round. */
const FAST_SHARE = 10;
const KICK_SHARE = 1 / 3;

/** Resets under way at full speed: what a few operators' scripts have. */
const IN_FLIGHT = 64;

/** How long the replicas may take to tell their watchers of the last reset of a round; its answer says that all have it. */
const SPREAD_MS = 300;

/** A connection to Redis must be so old before a write may be answered early (ADR 0008), and a little older. */
const GROWN_UP_MS = 1_200;

/** Rounds with a stopped replica, one for so many others: each takes seconds. */
const ROUNDS_PER_STOP = 3;

const AIMS = {
  reset_p50_over_write_ms: { bound: 'at_most', value: 5 },
  reset_p99_ms: { bound: 'at_most', value: 100 },
  resets_per_s: { bound: 'at_least', value: 500 },
  propagation_p99_ms: { bound: 'at_most', value: 100 },
  kick_p99_ms: { bound: 'at_most', value: 100 },
  reset_beside_stopped_max_ms: { bound: 'at_most', value: 1_100 },
} as const;

type Bench = { readonly fleet: ResetFleet; readonly bare: BareWriter; readonly followers: Followers };

/** Milliseconds of each, in one round. */
type Round = {
  readonly writes: readonly number[];
  readonly resets: readonly number[];
  /** From the request until the last replica told its watchers. */
  readonly propagations: readonly number[];
  /** From the answer until the device saw its link close; 0: before the answer. */
  readonly kicks: readonly number[];
  readonly resetsPerS: number;
};

/**
 * A reset of three auth replicas over one Redis that syncs every write: its latency against the bare write of a plain
 * client on the same Redis, turn by turn; how many there are in a second; how soon every replica has it and a device is
 * sent away; and what a stopped replica costs. All of it shares this machine's cores with the caller.
 */
export const resetSuite: Suite = async (plan) => {
  const { devices, perRound, rounds } = sizeOf(plan, SIZES);
  plan.say(`reset: ${devices} devices, ${rounds} rounds of ${perRound}`);
  const fleet = await startResetFleet(plan.processes, REPLICAS);
  const kicks = Math.ceil(perRound * KICK_SHARE);
  // Those that are kicked come behind the others: each has its first secret until then.
  const all = devices + (rounds + 1) * kicks;
  await forEach(all, (index) => operatorFor(fleet, index).register(index), IN_FLIGHT);
  const bench = { fleet, bare: await bareWriter(fleet.redisUrl), followers: await follow(fleet.replicas) };
  await pause(GROWN_UP_MS);
  const found: Round[] = [];
  for (let round = 0; round <= rounds; round++) {
    const one = await roundOf(bench, { devices, perRound, kicks, firstKick: devices + round * kicks });
    if (round > 0) found.push(one); // the first one compiles the code
    plan.say(`reset: p50 ${quantile(one.resets, 0.5).toFixed(1)} ms, ${one.resetsPerS.toFixed(0)} a second`);
  }
  const stops: StopRound[] = [];
  for (let round = 0; round < Math.ceil(rounds / ROUNDS_PER_STOP); round++) {
    stops.push(await resetsBesideAStoppedReplica(fleet, perRound));
    plan.say('reset: a replica was stopped and went on');
  }
  bench.bare.close();
  bench.followers.close();
  return findingsOf(found, stops);
};

type Turn = {
  readonly devices: number;
  readonly perRound: number;
  readonly kicks: number;
  /** The first of the devices that are kicked. */
  readonly firstKick: number;
};

async function roundOf({ fleet, bare, followers }: Bench, turn: Turn): Promise<Round> {
  const { devices, perRound, kicks, firstKick } = turn;
  const writes: number[] = [];
  const resets: number[] = [];
  const begunMs: number[] = [];
  followers.clear();
  for (let index = 0; index < perRound; index++) {
    writes.push(await timed(() => bare.write()));
    begunMs.push(performance.now());
    resets.push(await timed(() => operatorFor(fleet, index).reset(index % devices, false)));
  }
  await pause(SPREAD_MS);
  const propagations = begunMs.map((beganMs, index) => followers.lastHeardMs(deviceIdOf(index % devices)) - beganMs);
  const count = perRound * FAST_SHARE;
  const reset = (at: number) => operatorFor(fleet, at).reset(at % devices, false);
  const fastMs = await timed(() => forEach(count, reset, IN_FLIGHT));
  const mqttPort = portOf(fleet.gateway.field('mqtt'));
  const kicked = { mqttPort, operators: fleet.operators, first: firstKick, count: kicks };
  const kickMs = await kickTimes({ ...kicked, timestamp: timestampOf(systemClock.now()) });
  return { writes, resets, propagations, kicks: kickMs, resetsPerS: (count * 1_000) / fastMs };
}

function findingsOf(rounds: readonly Round[], stops: readonly StopRound[]): Findings {
  const each = (name: 'writes' | 'resets' | 'propagations' | 'kicks', share: number) =>
    rounds.map((round) => quantile(round[name], share));
  const added = rounds.map(({ resets, writes }) => quantile(resets, 0.5) - quantile(writes, 0.5));
  const stopped = (name: keyof StopRound, share: number) => figureOf(stops.map((stop) => quantile(stop[name], share)));
  return {
    ratios: {
      reset_p50_over_write_ms: ratioOf(added, AIMS.reset_p50_over_write_ms),
      reset_p99_ms: ratioOf(each('resets', 0.99), AIMS.reset_p99_ms),
      resets_per_s: ratioOf(
        rounds.map(({ resetsPerS }) => resetsPerS),
        AIMS.resets_per_s,
      ),
      propagation_p99_ms: ratioOf(each('propagations', 0.99), AIMS.propagation_p99_ms),
      kick_p99_ms: ratioOf(each('kicks', 0.99), AIMS.kick_p99_ms),
      reset_beside_stopped_max_ms: ratioOf(
        stops.map(({ until }) => quantile(until, 1)),
        AIMS.reset_beside_stopped_max_ms,
      ),
    },
    rates: {
      write_p50_ms: figureOf(each('writes', 0.5)),
      write_p99_ms: figureOf(each('writes', 0.99)),
      reset_p50_ms: figureOf(each('resets', 0.5)),
      propagation_p50_ms: figureOf(each('propagations', 0.5)),
      kick_p50_ms: figureOf(each('kicks', 0.5)),
      reset_before_stop_p50_ms: stopped('before', 0.5),
      reset_until_eviction_p50_ms: stopped('until', 0.5),
      reset_after_eviction_p50_ms: stopped('after', 0.5),
      reset_after_return_p50_ms: stopped('back', 0.5),
    },
    latencies: { reset_latency: { title: 'Resets one after the other, three replicas', series: seriesOf(rounds) } },
  };
}

function seriesOf(rounds: readonly Round[]) {
  const all = (name: 'writes' | 'resets' | 'propagations' | 'kicks') =>
    distributionOf(rounds.flatMap((it) => it[name]));
  return {
    'bare write to Redis': all('writes'),
    'reset, until its answer': all('resets'),
    'reset, until the last replica told its watchers': all('propagations'),
    'kick, from the answer until the link closes': all('kicks'),
  };
}

/** The replicas take turns. */
function operatorFor({ operators }: ResetFleet, turn: number): Operator {
  const operator = operators[turn % operators.length];
  if (operator === undefined) throw new Error('a fleet without replicas');
  return operator;
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}
