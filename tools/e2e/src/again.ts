import { setTimeout as pause } from 'node:timers/promises';

/** The return code of CONNACK that says "come again": no decision for now. */
export const COME_AGAIN = 3;

/** How often a client comes again, and after how long. */
const ATTEMPTS = 20;
const AGAIN_MS = 300;

/** Asks again, as devices do, while there is no decision for now: a busy machine brings that about in any test. */
export async function whileUndecided<T>(ask: () => Promise<T>, undecided: T): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const answer = await ask();
    if (answer !== undecided || attempt === ATTEMPTS) return answer;
    await pause(AGAIN_MS);
  }
}
