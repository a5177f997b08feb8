import { setTimeout as wait } from 'node:timers/promises';
import type { SessionTable } from './sessions.ts';

/** Sessions are closed in small groups, so that other work goes on between. */
const STEP_MS = 20;

/** The time that a session adds: few are closed at once, many take all the time there is. */
const SPACING_MS = 2;

/** Closes all sessions, spread over at most `overMs`: their devices come back elsewhere, and not as one. */
export async function drainSessions(sessions: SessionTable, overMs: number): Promise<void> {
  const open = sessions.pick(() => true);
  const steps = Math.floor(Math.min(overMs, open.length * SPACING_MS) / STEP_MS);
  for (let step = 1; step <= steps && sessions.size > 0; step++) {
    const part = (at: number) => Math.ceil((open.length * at) / (steps + 1));
    sessions.close(open.slice(part(step - 1), part(step)), 'STOPPING');
    await wait(STEP_MS);
  }
  // The rest, and what was let in meanwhile.
  sessions.close(
    sessions.pick(() => true),
    'STOPPING',
  );
}
