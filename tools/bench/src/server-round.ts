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
