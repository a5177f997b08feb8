import { fileURLToPath } from 'node:url';
import { connectAuth, gatewayMetrics } from '@latchkey/gateway-kit';
import { systemClock, systemRandom } from '@latchkey/kernel';
import type { AuthenticateRequest } from '@latchkey/protocol/v1';
import { createLog, createRegistry, parseAddress } from '@latchkey/runtime';
import { activate, drawAttempts, encoded } from './attempts.ts';
import { startAuthServer } from './auth-server.ts';
import { timestampOf } from './devices.ts';
import { Caller } from './load.ts';
import { alternate, cpuUs, figureOf, perSecond, ratioOf } from './measure.ts';
import { type Suite, sizeOf } from './plan.ts';
import { serverRound } from './server-round.ts';

const SIZES = {
  full: { devices: 20_000, perRound: 1_500, rounds: 25 },
  quick: { devices: 2_000, perRound: 700, rounds: 9 },
};
const EMPTY_SERVER = fileURLToPath(import.meta.resolve('./empty-server.ts'));
const AIM = { bound: 'at_least', value: 5 } as const;

/** Devices that connect at the same time, at one gateway: so many questions are open. */
const IN_FLIGHT = 256;
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
      stream_decisions_per_s: figureOf(pairs.map(({ b }) => perSecond(b))),
    },
  };
};

/** Asks through the gateway kit, with so many questions open all the time. */
class Asker {
  readonly #auth: ReturnType<typeof connectAuth>;
  readonly #attempts: readonly AuthenticateRequest[];
  #next = 0;

  constructor(address: string, attempts: readonly AuthenticateRequest[]) {
    const metrics = gatewayMetrics(createRegistry('bench'), {
      sessionsOpen: () => 0,
      monotonic: systemClock.monotonic,
    });
    this.#auth = connectAuth({
      ...{ clock: systemClock, random: systemRandom, metrics, maxInFlight: IN_FLIGHT },
      addresses: [parseAddress(address)],
      log: createLog({ service: 'bench', level: 'error' }),
    });
    this.#attempts = attempts;
  }

  /** Asks for so many milliseconds; answers how many were granted. Rejects when one is not. */
  askFor(ms: number): Promise<number> {
    const endMs = performance.now() + ms;
    return this.#askWhile(() => performance.now() < endMs);
  }

  /** Asks so many times. Rejects as `askFor` does. */
  async askTimes(times: number): Promise<void> {
    let left = times;
    await this.#askWhile(() => left-- > 0);
  }

  close(): void {
    this.#auth.close();
  }

  async #askWhile(goesOn: () => boolean): Promise<number> {
    let asked = 0;
    const lane = async () => {
      for (; goesOn(); asked++) {
        const attempt = this.#attempts[this.#next++ % this.#attempts.length];
        const { decision } = await this.#auth.authenticate(attempt ?? {});
        if (decision !== 'GRANTED') throw new Error(`a right proof got ${decision}`);
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
    return asked;
  }
}
