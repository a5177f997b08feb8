import { setTimeout as pause } from 'node:timers/promises';
import type { AuthClient } from '@latchkey/gateway-kit';
import { type AuthenticateRequest, DenyReason } from '@latchkey/protocol/v1';
import { attemptOf } from './attempts.ts';

/** Of so many devices one shows a wrong proof, which must be denied. */
const WRONG_EVERY = 50;

/** A device that is told to come again does so after this time, half of it more or less. */
const COMES_AGAIN_MS = 1_000;

/** No storm lasts longer; what does is an error. */
const LIMIT_MS = 180_000;

/** What a device asks, and whether it is to be let in. */
export type Visit = { readonly request: AuthenticateRequest; readonly right: boolean };

/** What came of it when all devices came at once. */
export type Aftermath = {
  /** From the first question until every device had its decision. */
  readonly drainMs: number;
  /** Right proofs that were denied, and wrong ones that were granted, or denied for another reason. */
  wrong: number;
  /** Questions that ended without a decision, in time or not, but for those that were shed. */
  undecided: number;
  /** Questions that the gateway's bound, or the service's, refused at once. */
  shed: number;
};

/** What devices 0 to `devices` - 1 ask. */
export function visitsOf(devices: number, timestamp: string): readonly Visit[] {
  return Array.from({ length: devices }, (_, index) => {
    const right = index % WRONG_EVERY !== 0;
    return { request: attemptOf(index, timestamp, right ? index : index + 1), right };
  });
}

/** All ask at this moment, and come again until they have a decision; `decided` hears how long each needed. */
export async function reconnectAll(
  auth: AuthClient,
  visits: readonly Visit[],
  decided: (ms: number) => void,
): Promise<Aftermath> {
  const begunMs = performance.now();
  const tally = { wrong: 0, undecided: 0, shed: 0 };
  const reconnect = async (visit: Visit) => {
    while (!(await hasDecision(auth, visit, tally))) {
      if (performance.now() - begunMs > LIMIT_MS)
        throw new Error(`after ${LIMIT_MS} ms there are still devices outside`);
      await pause(COMES_AGAIN_MS * (0.5 + Math.random()));
    }
    decided(performance.now() - begunMs);
  };
  await Promise.all(visits.map(reconnect));
  return { ...tally, drainMs: performance.now() - begunMs };
}

async function hasDecision(
  auth: AuthClient,
  { request, right }: Visit,
  tally: Omit<Aftermath, 'drainMs'>,
): Promise<boolean> {
  const answer = await auth.authenticate(request);
  if (answer.decision === 'NONE') {
    if (answer.cause === 'OVERLOADED') tally.shed++;
    else tally.undecided++;
    return false;
  }
  const isDue = right
    ? answer.decision === 'GRANTED'
    : answer.decision === 'DENIED' && answer.reason === DenyReason.SECRET_MISMATCH;
  if (!isDue) tally.wrong++;
  return true;
}
