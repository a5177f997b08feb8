import cluster, { type Worker } from 'node:cluster';
import type { Log, Running } from '@latchkey/runtime';
import { Crew } from './crew.ts';

/** Done once a start, by worker 1: whoever takes a place later finds the token that was made. */
const ONCE = '--new-operator-token';

/**
 * Starts so many workers with this command line. This process listens for them and hands each connection to the next one
 * in turn (node:cluster); it decides nothing itself.
 */
export async function startWorkers(options: {
  readonly size: number;
  readonly argv: readonly string[];
  readonly log: Log;
  readonly monotonic: () => number;
}): Promise<Running> {
  const { argv, log } = options;
  cluster.schedulingPolicy = cluster.SCHED_RR;
  cluster.setupPrimary({ args: [...argv] });
  const crew = new Crew(options);
  const hangUp = () => crew.hangUp();
  process.on('SIGHUP', hangUp);
  try {
    const ready = await crew.start(() => cluster.setupPrimary({ args: argv.filter((argument) => argument !== ONCE) }));
    return { ready, stop: () => crew.stop() };
  } catch (error) {
    await crew.stop().catch((failed: unknown) => log.error({ err: failed }, 'the workers were not stopped'));
    throw error;
  }
}

/**
 * Lets a worker stop in order when the process that started it is gone: node:cluster would end it at once, with the calls
 * that are under way, and its place among the replicas would stay taken until the others give it up.
 */
export function outliveStarter(worker: Worker): void {
  worker.on('disconnect', () => {
    worker.exitedAfterDisconnect = true;
  });
}
