import { setTimeout as pause } from 'node:timers/promises';
import { startAuthServer } from './auth-server.ts';
import { deviceIdOf } from './devices.ts';
import { type Followers, follow } from './followers.ts';
import { forEach, operatorOf } from './operator.ts';
import type { Plan } from './plan.ts';

/** How long the watchers may take to hear of all. */
const HEARD_DEADLINE_MS = 20_000;
const LOOK_MS = 50;

/** How much is done. */
export type WatchersOptions = { readonly watchers: number; readonly changes: number };

/** CPU time of an auth service for telling one watcher of one change, microseconds. */
export async function watcherCost({ processes }: Plan, { watchers, changes }: WatchersOptions): Promise<number> {
  const server = await startAuthServer(processes, changes);
  const operator = operatorOf(server);
  const costOf = async (followers: Followers | undefined) => {
    followers?.clear();
    const before = server.cpuUs();
    await forEach(changes, (index) => operator.reset(index, false));
    if (followers !== undefined) await untilHeard(followers, changes);
    return server.cpuUs() - before;
  };
  await costOf(undefined); // compiles the code
  const alone = await costOf(undefined);
  const followers = await follow(Array.from({ length: watchers }, () => server));
  processes.add(async () => followers.close());
  await costOf(followers);
  const watched = await costOf(followers);
  followers.close();
  return Math.max(0, watched - alone) / (changes * watchers);
}

async function untilHeard(followers: Followers, changes: number): Promise<void> {
  const isMissing = () =>
    Array.from({ length: changes }, (_, index) => deviceIdOf(index)).some((id) => !followers.haveHeard(id));
  for (let waitedMs = 0; isMissing(); waitedMs += LOOK_MS) {
    if (waitedMs >= HEARD_DEADLINE_MS) throw new Error('a watcher does not hear of all changes');
    await pause(LOOK_MS);
  }
}
