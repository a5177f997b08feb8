import { fileURLToPath } from 'node:url';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { systemClock } from '@latchkey/kernel';
import { AuthenticateRequestSchema, AuthenticateResponseSchema, Protocol } from '@latchkey/protocol/v1';
import { startAuthServer } from './auth-server.ts';
import { deviceIdOf, proofOf, timestampOf } from './devices.ts';
import { Caller } from './load.ts';
import { alternate, cpuUs, figureOf, perSecond, type Round, ratioOf } from './measure.ts';
import { type Suite, sizeOf } from './plan.ts';
import type { Server } from './processes.ts';
import { seededUniform, zipfIndexes } from './zipf.ts';

/** A round is so many milliseconds. Many short rounds: a neighbour's burst then spoils few of them, and not the median. */
const SIZES = {
  full: { devices: 20_000, perRound: 1_500, rounds: 25 },
  quick: { devices: 2_000, perRound: 700, rounds: 9 },
};
const EMPTY_SERVER = fileURLToPath(import.meta.resolve('./empty-server.ts'));
const AIM = { bound: 'at_least', value: 0.85 } as const;
const SEED = 2;

/** Requests prepared for each device: enough that Zipf's tail comes up. */
const REQUESTS_PER_DEVICE = 4;

/** Ten steps of the system's count of CPU time. */
const MIN_ROUND_CPU_US = 100_000;

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
  const drawn = zipfIndexes(devices * REQUESTS_PER_DEVICE, devices, seededUniform(SEED));
  const requests = Array.from(drawn, (index) => requestOf(index, timestamp));
  const emptyCaller = new Caller({ address: empty.field('grpc'), requests, isRight: ({ length }) => length === 0 });
  const authCaller = new Caller({ address: auth.field('grpc'), requests, isRight: isGrant });
  for (const caller of [emptyCaller, authCaller]) await caller.callTimes(WARM_UP_CALLS * plan.scale);
  const sides = { a: () => roundOf(empty, emptyCaller, roundMs), b: () => roundOf(auth, authCaller, roundMs) };
  const pairs = await alternate(rounds, sides, ({ a, b }) =>
    plan.say(`unary: empty ${cpuUs(a).toFixed(1)} us, Authenticate ${cpuUs(b).toFixed(1)} us`),
  );
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
      authenticate_calls_per_s: figureOf(pairs.map(({ b }) => perSecond(b))),
    },
  };
};

/** The first success of each device writes; it also brings the record into the cache. */
async function activate(auth: Server, devices: number, timestamp: string): Promise<void> {
  const requests = Array.from({ length: devices }, (_, index) => requestOf(index, timestamp));
  const caller = new Caller({ address: auth.field('grpc'), requests, isRight: isGrant });
  await caller.callTimes(devices);
  caller.close();
}

/** Lasts longer than asked when the server came to run too little: every call costs it time, so that this ends. */
async function roundOf(server: Server, caller: Caller, durationMs: number): Promise<Round> {
  const [cpuBefore, begunMs] = [server.cpuUs(), performance.now()];
  let operations = 0;
  let used = 0;
  while (used < MIN_ROUND_CPU_US) {
    operations += await caller.callFor(durationMs);
    used = server.cpuUs() - cpuBefore;
  }
  return { operations, cpuUs: used, wallMs: performance.now() - begunMs };
}

function requestOf(index: number, timestamp: string): Buffer {
  const request = create(AuthenticateRequestSchema, {
    deviceId: deviceIdOf(index),
    protocol: Protocol.MQTT,
    proof: { kind: { case: 'digest', value: proofOf(index, timestamp) } },
    source: '192.0.2.1',
  });
  return Buffer.from(toBinary(AuthenticateRequestSchema, request));
}

function isGrant(response: Buffer): boolean {
  return fromBinary(AuthenticateResponseSchema, response).decision.case === 'granted';
}
