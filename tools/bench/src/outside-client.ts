import { H2load, withoutH2load } from './h2load.ts';
import { alternate, cpuUs, type Figure, type Findings, figureOf, perSecond } from './measure.ts';
import { type Plan, sizeOf } from './plan.ts';
import type { Server } from './processes.ts';
import { serverRound } from './server-round.ts';

/** A round is so many milliseconds. */
const SIZES = {
  full: { devices: 1, perRound: 1_500, rounds: 9 },
  quick: { devices: 1, perRound: 500, rounds: 3 },
};

type Options = {
  readonly auth: Server;
  readonly empty: Server;
  /** What is asked again and again. */
  readonly message: Buffer;
};

/** The suite unary once more, by a client that nobody here wrote; both servers have answered it rightly before. */
export async function byOutsideClient(plan: Plan, { auth, empty, message }: Options): Promise<Partial<Findings>> {
  const missing = withoutH2load();
  if (missing !== undefined) return { absent: { h2load_unary_over_empty: missing } };
  const { perRound: roundMs, rounds } = sizeOf(plan, SIZES);
  const sideOf = (server: Server) => {
    const load = new H2load(plan.processes, server.field('grpc'), message);
    return () => serverRound(server, (ms) => load.callFor(ms), roundMs);
  };
  const pairs = await alternate(rounds, { a: sideOf(empty), b: sideOf(auth) }, ({ a, b }) =>
    plan.say(`unary: by h2load, empty ${cpuUs(a).toFixed(1)} us, Authenticate ${cpuUs(b).toFixed(1)} us`),
  );
  const rates: Record<string, Figure> = {
    h2load_unary_over_empty: figureOf(pairs.map(({ a, b }) => cpuUs(a) / cpuUs(b))),
    h2load_empty_server_cpu_us_per_call: figureOf(pairs.map(({ a }) => cpuUs(a))),
    h2load_authenticate_server_cpu_us_per_call: figureOf(pairs.map(({ b }) => cpuUs(b))),
    h2load_empty_calls_per_s: figureOf(pairs.map(({ a }) => perSecond(a))),
    h2load_authenticate_calls_per_s: figureOf(pairs.map(({ b }) => perSecond(b))),
  };
  return { rates };
}
