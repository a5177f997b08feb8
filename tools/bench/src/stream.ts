import { fileURLToPath } from 'node:url';
import { systemClock } from '@latchkey/kernel';
import { Asker } from './asker.ts';
import { activate, drawAttempts, encoded } from './attempts.ts';
import { startAuthServer } from './auth-server.ts';
import { type CppSide, startCppSide } from './cpp-side.ts';
import { timestampOf } from './devices.ts';
import { type AtFixedRates, atFixedRates } from './fixed-rates.ts';
import { Caller } from './load.ts';
import { alternate, cpuUs, type Findings, figureOf, perSecond, type Round, ratioOf } from './measure.ts';
import { type Suite, sizeOf } from './plan.ts';
import { serverRound } from './server-round.ts';

const SIZES = {
  full: { devices: 20_000, perRound: 1_500, rounds: 25 },
  quick: { devices: 2_000, perRound: 600, rounds: 7 },
};
const EMPTY_SERVER = fileURLToPath(import.meta.resolve('./empty-server.ts'));
const AIMS = {
  stream_over_empty_unary: { bound: 'at_least', value: 5 },
  stream_over_cpp_unary: { bound: 'at_least', value: 2 },
} as const;

/** Until the code of both is compiled; a decision is soon made, and there have to be many. */
const WARM_UP = { calls: 20_000, decisions: 50_000 } as const;

/** A round of each side. */
type Turn = { readonly empty: Round; readonly stream: Round; readonly cpp: Round | undefined };

/**
 * Decisions over AuthenticateStream, asked as gateways ask them, against empty unary handlers, on Node and in C++: how
 * many of each the server gets out of a second of its own CPU time.
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
  await emptyCaller.callTimes(WARM_UP.calls * plan.scale);
  await asker.askTimes(WARM_UP.decisions * plan.scale);
  const cpp = await startCppSide(plan, requests);
  const side = 'side' in cpp ? cpp.side : undefined;
  const sides = {
    empty: () => serverRound(empty, (ms) => emptyCaller.callFor(ms), roundMs),
    stream: () => serverRound(auth, (ms) => asker.askFor(ms), roundMs),
    cpp: () => side?.round(roundMs),
  };
  const turns = await alternate<Turn>(rounds, sides, (turn) => {
    const each = [['empty unary', turn.empty] as const, ['C++', turn.cpp] as const, ['stream', turn.stream] as const];
    const shown = each.flatMap(([name, round]) =>
      round === undefined ? [] : [`${name} ${cpuUs(round).toFixed(1)} us`],
    );
    plan.say(`stream: ${shown.join(', ')}`);
  });
  const capacity = figureOf(turns.map(({ stream }) => perSecond(stream))).median;
  const fixed = await atFixedRates({ plan, name: 'stream', capacity, server: auth, ask: () => asker.ask() });
  emptyCaller.close();
  asker.close();
  return findingsOf(turns, fixed, 'missing' in cpp ? cpp : { client: cpp.side.client });
};

type Cpp = { readonly missing: string } | { readonly client: CppSide['client'] };

function findingsOf(turns: readonly Turn[], { series, cpu }: AtFixedRates, cpp: Cpp): Findings {
  const emptyUs = turns.map(({ empty }) => cpuUs(empty));
  const streamUs = turns.map(({ stream }) => cpuUs(stream));
  const cppRounds = turns.flatMap(({ cpp: round }) => (round === undefined ? [] : [round]));
  const over = (others: readonly number[]) => others.map((us, index) => us / (streamUs[index] ?? Number.NaN));
  const rates = {
    stream_server_cpu_us_per_decision: figureOf(streamUs),
    stream_decisions_per_s: figureOf(turns.map(({ stream }) => perSecond(stream))),
  };
  const all = { x: rates.stream_decisions_per_s.median, y: rates.stream_server_cpu_us_per_decision.median };
  const ratio = ratioOf(over(emptyUs), AIMS.stream_over_empty_unary);
  const bars = { 'empty unary handler, grpc-js': figureOf(emptyUs), 'decision by stream': figureOf(streamUs) };
  const found = {
    ratios: { stream_over_empty_unary: ratio },
    rates,
    latencies: { stream_latency: { title: 'Decisions by AuthenticateStream, at fixed rates', series } },
    curves: {
      stream_cpu_by_rate: {
        title: 'CPU time of a decision by AuthenticateStream, by rate',
        x: 'decisions a second',
        y: 'CPU time of the server per decision, µs',
        xScale: 'linear' as const,
        series: { 'at a fixed rate': cpu, 'as many as it takes': [all] },
      },
    },
  };
  const plot = { title: 'What an answer costs its server', axis: 'CPU time of the server alone, µs per answer' };
  if ('missing' in cpp) {
    return { ...found, bars: { stream_cpu: { ...plot, bars } }, absent: { stream_over_cpp_unary: cpp.missing } };
  }
  const cppUs = cppRounds.map(cpuUs);
  const withCpp = { [`empty unary handler, C++, asked by ${cpp.client}`]: figureOf(cppUs), ...bars };
  return {
    ...found,
    ratios: { ...found.ratios, stream_over_cpp_unary: ratioOf(over(cppUs), AIMS.stream_over_cpp_unary) },
    rates: {
      ...rates,
      cpp_server_cpu_us_per_call: figureOf(cppUs),
      cpp_calls_per_s: figureOf(cppRounds.map(perSecond)),
    },
    bars: { stream_cpu: { ...plot, bars: withCpp } },
  };
}
