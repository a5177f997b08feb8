import { systemClock } from '@latchkey/kernel';
import { startRedisServer } from '@latchkey/store-redis/testing';
import { Asker } from './asker.ts';
import { activate, drawAttempts } from './attempts.ts';
import { AUTH, AUTH_LISTENERS } from './auth-server.ts';
import { timestampOf } from './devices.ts';
import { alternate, cpuUs, figureOf, perSecond, type Round, ratioOf } from './measure.ts';
import { forEach, operatorOf } from './operator.ts';
import { type Plan, type Suite, sizeOf } from './plan.ts';
import { serverRound } from './server-round.ts';

const SIZES = {
  full: { devices: 5_000, perRound: 1_500, rounds: 15 },
  quick: { devices: 1_000, perRound: 700, rounds: 5 },
};

/** Messages carry fewer questions when two workers share them: at 1.5 two decide a third more than one, at 2 as many. */
const AIM = { bound: 'at_most', value: 1.5 } as const;

/** Enough that every worker has nearly every record in memory, and a connection to it. */
const WARM_UP_CALLS = 30_000;
const WARM_UP_MS = 1_500;

/** A round, and the largest share of it that one worker had, in percent of their CPU time. */
type WorkersRound = Round & { readonly busiestPercent: number };

/** Decisions through the gateway kit with one worker and with two: the CPU time of all processes of the service. */
export const workersSuite: Suite = async (plan) => {
  const { devices, perRound: roundMs, rounds } = sizeOf(plan, SIZES);
  plan.say(`workers: ${devices} devices, ${rounds} rounds of ${roundMs} ms`);
  const redis = await startRedisServer();
  plan.processes.add(redis.stop);
  const [one, two] = [await side(plan, 1, `${redis.url}/1`, devices), await side(plan, 2, `${redis.url}/2`, devices)];
  const sides = { one: () => one.round(roundMs), two: () => two.round(roundMs) };
  const found = await alternate<{ one: WorkersRound; two: WorkersRound }>(rounds, sides, (round) =>
    plan.say(
      `workers: one ${cpuUs(round.one).toFixed(1)} us, two ${cpuUs(round.two).toFixed(1)} us a decision, ` +
        `the busier one ${round.two.busiestPercent.toFixed(0)} %`,
    ),
  );
  one.close();
  two.close();
  return {
    ratios: {
      workers_2_over_1_cpu: ratioOf(
        found.map((round) => cpuUs(round.two) / cpuUs(round.one)),
        AIM,
      ),
    },
    rates: {
      workers_1_server_cpu_us_per_decision: figureOf(found.map((round) => cpuUs(round.one))),
      workers_2_server_cpu_us_per_decision: figureOf(found.map((round) => cpuUs(round.two))),
      workers_1_decisions_per_s: figureOf(found.map((round) => perSecond(round.one))),
      workers_2_decisions_per_s: figureOf(found.map((round) => perSecond(round.two))),
      workers_2_busiest_cpu_percent: figureOf(found.map((round) => round.two.busiestPercent)),
    },
  };
};

/** A service with so many workers in a database of its own, and what asks it. */
async function side(plan: Plan, workers: number, store: string, devices: number) {
  const server = await plan.processes.start(AUTH, [
    ...['--data-dir', plan.processes.directory(), '--store', store, '--workers', String(workers)],
    ...['--log-level', 'error', ...AUTH_LISTENERS],
  ]);
  await forEach(devices, operatorOf(server).register);
  const timestamp = timestampOf(systemClock.now());
  await activate(server, devices, timestamp);
  const asker = new Asker(server.field('grpc'), drawAttempts(devices, timestamp));
  await asker.askTimes(WARM_UP_CALLS * plan.scale);
  await asker.askFor(WARM_UP_MS);
  const all = () => [server.cpuUs(), ...server.childrenCpuUs()];
  const round = async (ms: number): Promise<WorkersRound> => {
    const before = all();
    const measured = await serverRound({ cpuUs: () => sum(all()) }, (time) => asker.askFor(time), ms);
    const used = all().map((cpu, index) => cpu - (before[index] ?? 0));
    return { ...measured, busiestPercent: (Math.max(...used) * 100) / sum(used) };
  };
  return { round, close: () => asker.close() };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
