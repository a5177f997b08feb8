import { systemClock } from '@latchkey/kernel';
import type { AuthenticateRequest } from '@latchkey/protocol/v1';
import { Asker } from './asker.ts';
import { activate, drawAttempts, encoded, isGrant } from './attempts.ts';
import { timestampOf } from './devices.ts';
import { atFixedRates } from './fixed-rates.ts';
import { Caller } from './load.ts';
import { figureOf, timed } from './measure.ts';
import { forEach } from './operator.ts';
import { type Plan, type Suite, sizeOf } from './plan.ts';

const SIZES = {
  full: { devices: 20_000, perRound: 1_500, rounds: 25 },
  quick: { devices: 2_000, perRound: 700, rounds: 7 },
};
const UNKNOWN_CPU = 'the CPU time of a server elsewhere is not known here';

/** Questions before the first round. */
const WARM_UP_MS = 3_000;

/** Asks a server, in one way or another. */
type Client = {
  /** Answers how many were granted in so many milliseconds. */
  readonly askFor: (ms: number) => Promise<number>;
  readonly ask: () => Promise<boolean>;
  readonly close: () => void;
};

/** Authenticate of a server elsewhere: calls in a second, and latency at fixed rates. */
export const unaryAtTarget: Suite = async (plan) => {
  const found = await askTarget(plan, 'unary', (address, attempts) => {
    const caller = new Caller({ address, requests: attempts.map(encoded), isRight: isGrant });
    return { askFor: (ms) => caller.callFor(ms), ask: () => caller.ask(), close: () => caller.close() };
  });
  return {
    ratios: {},
    rates: { authenticate_calls_per_s: found.perSecond },
    latencies: { unary_latency: { title: 'Authenticate, unary, at fixed rates', series: found.series } },
    absent: { unary_over_empty: UNKNOWN_CPU },
  };
};

/** AuthenticateStream of a server elsewhere, through the gateway kit: decisions in a second, and latency at fixed rates. */
export const streamAtTarget: Suite = async (plan) => {
  const found = await askTarget(plan, 'stream', (address, attempts) => new Asker(address, attempts));
  return {
    ratios: {},
    rates: { stream_decisions_per_s: found.perSecond },
    latencies: { stream_latency: { title: 'Decisions by AuthenticateStream, at fixed rates', series: found.series } },
    absent: { stream_over_empty_unary: UNKNOWN_CPU, stream_over_cpp_unary: UNKNOWN_CPU },
  };
};

async function askTarget(
  plan: Plan,
  name: string,
  connect: (address: string, attempts: readonly AuthenticateRequest[]) => Client,
) {
  const { target, processes } = plan;
  if (target === undefined) throw new Error('no server elsewhere was named');
  const { address, operator } = target;
  const { devices, perRound: roundMs, rounds } = sizeOf(plan, SIZES);
  plan.say(`${name}: ${devices} devices at ${address}, ${rounds} rounds of ${roundMs} ms`);
  await operator.ensure(0);
  processes.add(() => forEach(devices, operator.remove));
  await forEach(devices, operator.ensure);
  const timestamp = timestampOf(systemClock.now());
  await activate({ field: () => address }, devices, timestamp);
  const client = connect(address, drawAttempts(devices, timestamp));
  await client.askFor(WARM_UP_MS * plan.scale);
  const rates: number[] = [];
  for (let round = 0; round < rounds; round++) {
    let asked = 0;
    const tookMs = await timed(async () => {
      asked = await client.askFor(roundMs);
    });
    rates.push((asked * 1_000) / tookMs);
    plan.say(`${name}: ${rates.at(-1)?.toFixed(0)} a second`);
  }
  const perSecond = figureOf(rates);
  const { series } = await atFixedRates({ plan, name, capacity: perSecond.median, ask: () => client.ask() });
  client.close();
  return { perSecond, series };
}
