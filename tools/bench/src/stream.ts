import { fileURLToPath } from 'node:url';
import { systemClock } from '@latchkey/kernel';
import { Asker } from './asker.ts';
import { activate, drawAttempts, encoded } from './attempts.ts';
import { startAuthServer } from './auth-server.ts';
import { timestampOf } from './devices.ts';
import { atFixedRates } from './fixed-rates.ts';
import { Caller } from './load.ts';
import { alternate, cpuUs, figureOf, perSecond, ratioOf } from './measure.ts';
import { type Suite, sizeOf } from './plan.ts';
import { serverRound } from './server-round.ts';

const SIZES = {
  full: { devices: 20_000, perRound: 1_500, rounds: 25 },
  quick: { devices: 2_000, perRound: 700, rounds: 7 },
};
const EMPTY_SERVER = fileURLToPath(import.meta.resolve('./empty-server.ts'));
const AIM = { bound: 'at_least', value: 5 } as const;

const WARM_UP_CALLS = 50_000;

/**
 * Decisions over AuthenticateStream, asked as gateways ask them, against an empty unary handler: how many of each the
 * server gets out of a second of its own CPU time.
 */
export const streamSuite: Suite = async (plan) => {
  const { devices, perRound: roundMs, rounds } = sizeOf(plan, SIZES);
  plan.say(`stream: ${devices} devices, ${rounds} rounds of ${roundMs} ms`);
  const timestamp = timestampOf(systemClock.now());
  const auth = await startAuthServer(plan.processes, devices);
  const empty = await plan.processes.start(EMPTY_SERVER, []);
  await activate(auth, devices, timestamp);
  const attempts = drawAttempts(devices, timestamp);
  const requests = attempts.map(encoded);
  const emptyCaller = new Caller({ address: empty.field('grpc'), requests, isRight: ({ length }) => length === 0 });
  const asker = new Asker(auth.field('grpc'), attempts);
  await emptyCaller.callTimes(WARM_UP_CALLS * plan.scale);
  await asker.askTimes(WARM_UP_CALLS * plan.scale);
  const sides = {
    a: () => serverRound(empty, (ms) => emptyCaller.callFor(ms), roundMs),
    b: () => serverRound(auth, (ms) => asker.askFor(ms), roundMs),
  };
  const pairs = await alternate(rounds, sides, ({ a, b }) =>
    plan.say(`stream: empty unary ${cpuUs(a).toFixed(1)} us, decision by stream ${cpuUs(b).toFixed(1)} us`),
  );
  const rates = pairs.map(({ b }) => perSecond(b));
  const capacity = figureOf(rates).median;
  const medianCpuUs = figureOf(pairs.map(({ b }) => cpuUs(b))).median;
  const fixed = { plan, name: 'stream', capacity, server: auth, ask: () => asker.ask() };
  const { series, cpu } = await atFixedRates(fixed);
  emptyCaller.close();
  asker.close();
  return {
    ratios: {
      stream_over_empty_unary: ratioOf(
        pairs.map(({ a, b }) => cpuUs(a) / cpuUs(b)),
        AIM,
      ),
    },
    rates: {
      stream_server_cpu_us_per_decision: figureOf(pairs.map(({ b }) => cpuUs(b))),
      stream_decisions_per_s: figureOf(rates),
    },
    latencies: { stream_latency: { title: 'Decisions by AuthenticateStream, at fixed rates', series } },
    curves: {
      stream_cpu_by_rate: {
        title: 'CPU time of a decision by AuthenticateStream, by rate',
        x: 'decisions a second',
        y: 'CPU time of the server per decision, µs',
        xScale: 'linear',
        series: { 'at a fixed rate': cpu, 'as many as it takes': [{ x: capacity, y: medianCpuUs }] },
      },
    },
  };
};
