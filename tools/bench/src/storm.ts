import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock, systemRandom } from '@latchkey/kernel';
import { generateKeyLine, parseKeyring } from '@latchkey/store';
import { AUTH, AUTH_LISTENERS } from './auth-server.ts';
import { timestampOf } from './devices.ts';
import { growFleets } from './fleet-records.ts';
import { type RedisFleet, startRedisFleet } from './fleet-redis.ts';
import { connectGateway } from './gateway-client.ts';
import { atPercent, type Distribution, LatencyRecorder } from './latency.ts';
import { type Findings, figureOf, ratioOf } from './measure.ts';
import { type Suite, sizeOf } from './plan.ts';
import { Processes } from './processes.ts';
import { type Aftermath, reconnectAll, type Visit, visitsOf } from './reconnects.ts';

/** A round is one storm of all devices. */
const SIZES = {
  full: { devices: 100_000, perRound: 1, rounds: 3 },
  quick: { devices: 20_000, perRound: 1, rounds: 1 },
};
const NONE = { bound: 'at_most', value: 0 } as const;

/** Questions of a gateway that are under way at a time, by default. */
const MAX_DECISIONS = 4_000;

/** One storm, and what it cost. */
type Round = Aftermath & { readonly found: Distribution; readonly authCpuUs: number; readonly redisCpuUs: number };

/** What a storm needs. */
type Sky = { readonly fleet: RedisFleet; readonly keyFile: string; readonly visits: readonly Visit[] };

/**
 * All devices reconnect in the same moment, to an auth service that has just started and has nothing cached, over a real
 * Redis, through one gateway's client with a gateway's own bounds. Client, service and Redis share this machine's cores.
 */
export const stormSuite: Suite = async (plan) => {
  const { devices, rounds } = sizeOf(plan, SIZES);
  plan.say(`storm: ${devices} devices, ${rounds} rounds`);
  const keyLine = generateKeyLine('bench', systemRandom);
  const keyFile = join(plan.processes.directory(), 'sealing.key');
  writeFileSync(keyFile, `${keyLine}\n`, { mode: 0o600 });
  const keyring = parseKeyring(keyLine);
  const fleet = await startRedisFleet(plan.processes, keyring);
  await growFleets({ from: 0, to: devices }, keyring, [fleet]);
  await fleet.persist();
  const visits = visitsOf(devices, timestampOf(systemClock.now()));
  const all = new LatencyRecorder();
  const storms: Round[] = [];
  for (let round = 0; round < rounds; round++) {
    const processes = new Processes();
    plan.processes.add(() => processes.stop());
    const storm = await oneStorm(processes, { fleet, keyFile, visits }, all);
    await processes.stop();
    storms.push(storm);
    plan.say(`storm: over after ${(storm.drainMs / 1_000).toFixed(1)} s, ${storm.shed} times told to come again`);
  }
  return findingsOf(storms, all.distribution());
};

async function oneStorm(processes: Processes, sky: Sky, all: LatencyRecorder): Promise<Round> {
  const { fleet, keyFile, visits } = sky;
  const store = ['--store', fleet.url, '--data-dir', processes.directory(), '--key-file', keyFile];
  const server = await processes.start(AUTH, [...store, ...AUTH_LISTENERS, '--log-level', 'error']);
  const auth = connectGateway(server.field('grpc'), MAX_DECISIONS);
  processes.add(async () => auth.close());
  const own = new LatencyRecorder();
  const [authBefore, redisBefore] = [server.cpuUs(), await fleet.client.cpuUs()];
  const aftermath = await reconnectAll(auth, visits, (ms) => {
    own.record(ms);
    all.record(ms);
  });
  const [authCpuUs, redisCpuUs] = [server.cpuUs() - authBefore, (await fleet.client.cpuUs()) - redisBefore];
  return { ...aftermath, found: own.distribution(), authCpuUs, redisCpuUs };
}

function findingsOf(storms: readonly Round[], found: Distribution): Findings {
  const figure = (of: (storm: Round) => number) => figureOf(storms.map(of));
  const total = (of: (storm: Round) => number) => storms.map(of).reduce((sum, count) => sum + count, 0);
  return {
    // Of all rounds together: one in any of them is one too many.
    ratios: {
      storm_wrong_answers: ratioOf([total(({ wrong }) => wrong)], NONE),
      storm_timeouts: ratioOf([total(({ undecided }) => undecided)], NONE),
    },
    rates: {
      storm_devices: figure((storm) => storm.found.count),
      storm_drain_s: figure(({ drainMs }) => drainMs / 1_000),
      storm_decisions_per_s: figure((storm) => (storm.found.count * 1_000) / storm.drainMs),
      storm_p50_ms: figure((storm) => atPercent(storm.found, 50)),
      storm_p99_ms: figure((storm) => atPercent(storm.found, 99)),
      storm_max_ms: figure((storm) => atPercent(storm.found, 100)),
      storm_shed_questions: figure(({ shed }) => shed),
      storm_auth_cpu_us_per_decision: figure((storm) => storm.authCpuUs / storm.found.count),
      storm_redis_cpu_us_per_decision: figure((storm) => storm.redisCpuUs / storm.found.count),
    },
    latencies: {
      storm: {
        title: 'Devices that reconnect in the same moment, until each has its decision',
        series: { 'nothing cached': found },
      },
    },
  };
}
