import { fileURLToPath } from 'node:url';
import { systemClock } from '@latchkey/kernel';
import { activate, drawAttempts, encoded, isGrant } from './attempts.ts';
import { startAuthServer } from './auth-server.ts';
import { timestampOf } from './devices.ts';
import { atFixedRates } from './fixed-rates.ts';
import { Caller } from './load.ts';
import { alternate, cpuUs, figureOf, perSecond, ratioOf } from './measure.ts';
import { type Suite, sizeOf } from './plan.ts';
import { serverRound } from './server-round.ts';

/** A round is so many milliseconds. Many short rounds: a neighbour's burst then spoils few of them, and not the median. */
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
 * process of its own and the calls come from this one. On shared cores the ratio of the rates that the servers could
 * reach is the ratio of their own CPU time by call, so that is the ratio here; the plain rates share the machine with
 * the caller.
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
    a: () => serverRound(empty, (ms) => emptyCaller.callFor(ms), roundMs),
    b: () => serverRound(auth, (ms) => authCaller.callFor(ms), roundMs),
  };
  const pairs = await alternate(rounds, sides, ({ a, b }) =>
    plan.say(`unary: empty ${cpuUs(a).toFixed(1)} us, Authenticate ${cpuUs(b).toFixed(1)} us`),
  );
  const rates = pairs.map(({ b }) => perSecond(b));
  const capacity = figureOf(rates).median;
  const fixed = { plan, name: 'unary', capacity, server: auth, ask: () => authCaller.ask() };
  const { series } = await atFixedRates(fixed);
  for (const caller of [emptyCaller, authCaller]) caller.close();
  return {
    ratios: {
      unary_over_empty: ratioOf(
        pairs.map(({ a, b }) => cpuUs(a) / cpuUs(b)),
        AIM,
      ),
    },
    rates: {
      empty_server_cpu_us_per_call: figureOf(pairs.map(({ a }) => cpuUs(a))),
      authenticate_server_cpu_us_per_call: figureOf(pairs.map(({ b }) => cpuUs(b))),
      empty_calls_per_s: figureOf(pairs.map(({ a }) => perSecond(a))),
      authenticate_calls_per_s: figureOf(rates),
    },
    latencies: { unary_latency: { title: 'Authenticate, unary, at fixed rates', series } },
  };
};
