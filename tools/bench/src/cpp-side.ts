import { cppServer } from './cpp-server.ts';
import { H2load, withoutH2load } from './h2load.ts';
import { Caller } from './load.ts';
import type { Round } from './measure.ts';
import type { Plan } from './plan.ts';
import { serverRound } from './server-round.ts';

/** Calls that must be answered rightly before any is measured. */
const CHECK_CALLS = 2_000;

/** An empty handler of Authenticate in C++, and who calls it. */
export type CppSide = { readonly client: 'h2load' | 'grpc-js'; readonly round: (ms: number) => Promise<Round> };

/**
 * Starts the C++ server, or says what is missing for it. h2load calls it where there is one: it asks faster than a
 * client on Node, and the busier the server, the cheaper is each of its calls.
 */
export async function startCppSide(
  plan: Plan,
  requests: readonly Buffer[],
): Promise<{ readonly side: CppSide } | { readonly missing: string }> {
  const built = await cppServer(plan);
  if ('missing' in built) return built;
  const server = await plan.processes.startProgram(built.program);
  const address = server.field('grpc');
  const caller = new Caller({ address, requests, isRight: ({ length }) => length === 0 });
  await caller.callTimes(CHECK_CALLS);
  const [message] = requests;
  if (message === undefined || withoutH2load() !== undefined) {
    plan.processes.add(async () => caller.close());
    return { side: { client: 'grpc-js', round: (ms) => serverRound(server, (forMs) => caller.callFor(forMs), ms) } };
  }
  caller.close();
  const load = new H2load(plan.processes, address, message);
  return { side: { client: 'h2load', round: (ms) => serverRound(server, (forMs) => load.callFor(forMs), ms) } };
}
