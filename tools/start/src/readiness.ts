import { setTimeout as sleep } from 'node:timers/promises';

/** Between two questions: short against the start of a process. */
const PAUSE_MS = 50;

/** A gateway follows the changes within milliseconds once the auth service listens; a busy machine is slower. */
const DEADLINE_MS = 30_000;

/** One answer comes at once or not at all. */
const ANSWER_DEADLINE_MS = 2_000;

/**
 * Waits until a gateway's `/readyz` says that devices get in; what connects before that is told to come back. `metrics`
 * is `host:port`. False: the launch was over first. Rejects after 30 s.
 */
export async function untilReady(name: string, metrics: string, over: Promise<unknown>): Promise<boolean> {
  let isOver = false;
  const ended = over.then(() => {
    isOver = true;
  });
  for (let waitedMs = 0; waitedMs < DEADLINE_MS; waitedMs += PAUSE_MS) {
    if (isOver) return false;
    if (await says(`http://${metrics}/readyz`)) return true;
    await Promise.race([sleep(PAUSE_MS), ended]);
  }
  throw new Error(`${name} lets no device in after ${DEADLINE_MS / 1000} s`);
}

async function says(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(ANSWER_DEADLINE_MS) })).ok;
  } catch {
    return false; // the gateway has ended, or is too busy to answer
  }
}
