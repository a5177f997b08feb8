import { fileURLToPath } from 'node:url';
import { systemClock } from '@latchkey/kernel';
import { activate, drawAttempts, encoded, isGrant } from './attempts.ts';
import { startAuthServer } from './auth-server.ts';
import { timestampOf } from './devices.ts';
import { atFixedRates } from './fixed-rates.ts';
import { Caller } from './load.ts';
import { cpuUs, type Figure, type Findings, figureOf, perSecond, type Round, ratioOf } from './measure.ts';
import { byOutsideClient } from './outside-client.ts';
import { type Suite, sizeOf } from './plan.ts';
import { roundsInTurns } from './server-round.ts';

/** A round is so many milliseconds of each server. Many short rounds: a neighbour's burst then spoils few of them, and not the median. */
const SIZES = {
  full: { devices: 20_000, perRound: 1_500, rounds: 25 },
  quick: { devices: 2_000, perRound: 700, rounds: 7 },
};
const EMPTY_SERVER = fileURLToPath(import.meta.resolve('./empty-server.ts'));
const AIM = { bound: 'at_least', value: 0.85 } as const;

/** Calls before the first round: a server's code is compiled as it runs, and settles after some 10,000 calls. */
const WARM_UP_CALLS = 20_000;

/**
 * Authenticate of the auth service, warm, against the same method answered with an empty message. Each server is a
 * process of its own and the calls come from this one, and then from h2load. On shared cores the ratio of the rates
 * that the servers could reach is the ratio of their own CPU time by call, so that is the ratio here; the plain rates
 * share the machine with the caller.
 */
export const unarySuite: Suite = async (plan) => {
  const { devices, perRound: roundMs, rounds } = sizeOf(plan, SIZES);
  plan.say(`unary: ${devices} devices, ${rounds} rounds of ${roundMs} ms`);
  const timestamp = timestampOf(systemClock.now());
  const auth = await startAuthServer(plan.processes, devices);
  const empty = await plan.processes.start(EMPTY_SERVER, []);
  await activate(auth, devices, timestamp);
  const requests = drawAttempts(devices, timestamp).map(encoded);
  const emptyCaller = new Caller({ address: empty.field('grpc'), requests, isRight: ({ length }) => length === 0 });
  const authCaller = new Caller({ address: auth.field('grpc'), requests, isRight: isGrant });
  for (const caller of [emptyCaller, authCaller]) await caller.callTimes(WARM_UP_CALLS * plan.scale);
  const sides = {
    a: { server: empty, load: (ms: number) => emptyCaller.callFor(ms) },
    b: { server: auth, load: (ms: number) => authCaller.callFor(ms) },
  };
  const pairs: { readonly a: Round; readonly b: Round }[] = [];
  for (let round = 0; round < rounds; round++) {
    const pair = await roundsInTurns(sides, roundMs);
    plan.say(`unary: empty ${cpuUs(pair.a).toFixed(1)} us, Authenticate ${cpuUs(pair.b).toFixed(1)} us`);
    pairs.push(pair);
  }
  const rates = {
    empty_server_cpu_us_per_call: figureOf(pairs.map(({ a }) => cpuUs(a))),
    authenticate_server_cpu_us_per_call: figureOf(pairs.map(({ b }) => cpuUs(b))),
    empty_calls_per_s: figureOf(pairs.map(({ a }) => perSecond(a))),
    authenticate_calls_per_s: figureOf(pairs.map(({ b }) => perSecond(b))),
  };
  const capacity = rates.authenticate_calls_per_s.median;
  const { series } = await atFixedRates({ plan, name: 'unary', capacity, ask: () => authCaller.ask() });
  for (const caller of [emptyCaller, authCaller]) caller.close();
  const outside = await byOutsideClient(plan, { auth, empty, message: requests[0] ?? Buffer.alloc(0) });
  const ratio = ratioOf(
    pairs.map(({ a, b }) => cpuUs(a) / cpuUs(b)),
    AIM,
  );
  return {
    ...outside,
    ratios: { unary_over_empty: ratio },
    rates: { ...rates, ...outside.rates },
    latencies: { unary_latency: { title: 'Authenticate, unary, at fixed rates', series } },
    bars: barsOf({ ...rates, ...outside.rates }),
  };
};

function barsOf(rates: Readonly<Record<string, Figure>>): NonNullable<Findings['bars']> {
  const names = {
    empty_server_cpu_us_per_call: 'empty handler, asked by grpc-js',
    authenticate_server_cpu_us_per_call: 'Authenticate, asked by grpc-js',
    h2load_empty_server_cpu_us_per_call: 'empty handler, asked by h2load',
    h2load_authenticate_server_cpu_us_per_call: 'Authenticate, asked by h2load',
  };
  const bars = Object.entries(names).flatMap(([rate, name]) => {
    const figure = rates[rate];
    return figure === undefined ? [] : [[name, figure] as const];
  });
  const axis = 'CPU time of the server alone, µs per call';
  return { unary_cpu: { title: 'What a unary call costs its server', axis, bars: Object.fromEntries(bars) } };
}
