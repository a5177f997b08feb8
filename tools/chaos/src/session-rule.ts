import { forbids } from './checker.ts';
import { type Change, foundDone, type History, type Session, type Trouble } from './history.ts';

/**
 * How long a session may outlive the answer of a change that ends it, once nothing upsets its gateway's way to the log
 * any more. The gateway's own bounds: 3 s of silence until it gives a stream up, then 2.4 s until its channel tries
 * again and 2 s until it opens the next stream (libs/gateway-kit: change-watcher, replica, backoff); the replica's
 * lease may take 1.5 s more to come back, and the rest is for a machine that all of this shares.
 */
export const SESSION_BOUND_MS = 10_000;

/**
 * So much longer may one live that was opened while the change was made: if its gateway then has to hear of a gap instead
 * of the change, only the second check ends it, when no verdict from before can be on its way (MEMORY_AGE_MS, gateway-kit).
 */
export const OVERTAKEN_MS = 20_000;

/** A session, and the first answered change that ends it. */
export type Ending = { readonly session: Session; readonly change: Change };

/** All sessions that a change ended while they were open, whoever closed them in the end, and when. */
export function endingsOf({ changes, sessions }: Pick<History, 'changes' | 'sessions'>): readonly Ending[] {
  const byDevice = Map.groupBy(changes, ({ device }) => device);
  return sessions.flatMap((session) => {
    const own = byDevice.get(session.device) ?? [];
    const secret = own.find(({ id }) => id === session.secret);
    if (secret === undefined) throw new Error(`a session on secret ${session.secret}, which is none of its device`);
    const [change] = own
      .filter((each) => ends(each, session, secret, own))
      .sort((left, right) => (left.endUs ?? 0) - (right.endUs ?? 0));
    return change === undefined ? [] : [{ session, change }];
  });
}

/** What the sessions of a history did. */
export type SessionVerdict = {
  readonly endings: readonly Ending[];
  /** Those that outlived their change by more than the bound. */
  readonly stale: readonly Ending[];
};

/** Holds every session against the changes that end it. */
export function judgeSessions(
  history: Pick<History, 'changes' | 'sessions' | 'troubles' | 'endUs'>,
  boundMs: number = SESSION_BOUND_MS,
): SessionVerdict {
  const endings = endingsOf(history);
  return { endings, stale: staleOf(endings, history, boundMs) };
}

function staleOf(
  endings: readonly Ending[],
  { troubles, endUs }: Pick<History, 'troubles' | 'endUs'>,
  boundMs: number,
): readonly Ending[] {
  return endings.filter(({ session, change }) => {
    const own = troubles.filter(({ gateway }) => gateway === session.gateway);
    const ownBoundMs = session.openUs < change.beginUs ? boundMs : boundMs + OVERTAKEN_MS;
    return (session.closeUs ?? endUs) > dueUs(change.endUs ?? 0, own, ownBoundMs * 1_000);
  });
}

/** How long each session that its gateway closed lived on after the change's answer, milliseconds; 0: not at all. */
export function kickTimesMs(endings: readonly Ending[]): readonly number[] {
  return endings.flatMap(({ session: { kicked, closeUs }, change: { endUs } }) =>
    kicked && closeUs !== undefined && endUs !== undefined ? [Math.max(0, closeUs - endUs) / 1_000] : [],
  );
}

/** The end of the first undisturbed span of this length that does not begin before `fromUs`. */
function dueUs(fromUs: number, troubles: readonly Trouble[], boundUs: number): number {
  let due = fromUs + boundUs;
  for (const { beginUs, endUs } of troubles.toSorted((left, right) => left.beginUs - right.beginUs)) {
    if (beginUs <= due && endUs > fromUs) due = Math.max(due, endUs + boundUs);
  }
  return due;
}

function ends(change: Change, session: Session, secret: Change, own: readonly Change[]): boolean {
  const { outcome, beginUs, endUs } = change;
  if (outcome !== 'OK' || endUs === undefined || !closes(change, secret, own)) return false;
  if (session.closeUs !== undefined && session.closeUs <= beginUs) return false;
  // Granted before it for sure; or at the same time, and then on an older record if the change takes the secret away.
  if (session.openUs < beginUs) return true;
  const grant = { endUs: session.openUs, revision: undefined };
  return session.beginUs < endUs && change !== secret && forbids(change, grant, secret, own);
}

function closes(change: Change, secret: Change, own: readonly Change[]): boolean {
  const { act, forced, slot, builtOn } = change;
  if (act === 'FREEZE' || act === 'DELETE' || forced) return true;
  if (act !== 'RETIRE' || slot !== secret.slot || builtOn < secret.builtOn || foundDone(change)) return false;
  // A retirement ends the sessions of what the slot held, which may be another credential by then.
  return !own.some((other) => {
    const between = other.builtOn > secret.builtOn && other.builtOn < builtOn;
    return between && other.slot === slot && other.outcome !== 'REFUSED';
  });
}
