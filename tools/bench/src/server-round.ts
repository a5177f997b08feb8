import type { Round } from './measure.ts';
import type { Server } from './processes.ts';

/** Ten steps of the system's count of CPU time. */
const MIN_ROUND_CPU_US = 100_000;

/**
 * A round of one server's load, which answers how many calls it made. Lasts longer than asked when the server came to
 * run too little: every call costs it time, so that this ends.
 */
export async function serverRound(
  server: Pick<Server, 'cpuUs'>,
  load: (ms: number) => Promise<number>,
  ms: number,
): Promise<Round> {
  const [cpuBefore, begunMs] = [server.cpuUs(), performance.now()];
  let operations = 0;
  let used = 0;
  while (used < MIN_ROUND_CPU_US) {
    operations += await load(ms);
    used = server.cpuUs() - cpuBefore;
  }
  return { operations, cpuUs: used, wallMs: performance.now() - begunMs };
}

/** One server, and what it is asked with: answers how many calls it made in so many milliseconds. */
type Side = { readonly server: Pick<Server, 'cpuUs'>; readonly load: (ms: number) => Promise<number> };

/** Short, so that what a neighbour does to the machine falls on both sides of a round; long against the begin of a load. */
const TURN_MS = 100;

/**
 * A round of each of these servers, asked in short turns for so many milliseconds each, while the others rest. Lasts longer
 * when one of them came to run too little.
 */
export async function roundsInTurns<Name extends string>(
  sides: Readonly<Record<Name, Side>>,
  ms: number,
): Promise<Readonly<Record<Name, Round>>> {
  const rounds = Object.entries<Side>(sides).map(([name, { server, load }]) => {
    const before = server.cpuUs();
    return { name, load, usedUs: () => server.cpuUs() - before, operations: 0, wallMs: 0 };
  });
  for (let askedMs = 0; askedMs < ms || rounds.some(({ usedUs }) => usedUs() < MIN_ROUND_CPU_US); askedMs += TURN_MS) {
    for (const round of rounds) {
      const begunMs = performance.now();
      round.operations += await round.load(TURN_MS);
      round.wallMs += performance.now() - begunMs;
    }
  }
  const found = rounds.map(({ name, usedUs, operations, wallMs }) => [name, { operations, cpuUs: usedUs(), wallMs }]);
  return Object.fromEntries(found);
}
