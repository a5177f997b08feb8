import { type Change, type Decision, foundDone, type History } from './history.ts';

/** A decision that broke the promise. */
export type Violation = {
  /**
   * BY_START: the question began after the change was answered. BY_DECISION: it was decided after that. NEVER_SET: the
   * secret was never written at all.
   */
  readonly rule: 'BY_START' | 'BY_DECISION' | 'NEVER_SET';
  readonly decision: Decision;
  /** The change that had taken away what was granted. */
  readonly change: Change;
};

/** What is wrong with a history: nothing, if both lists are empty. */
export type Verdict = {
  readonly violations: readonly Violation[];
  /** Valid secrets that were denied while no change of their device was under way. */
  readonly falseRejections: readonly Decision[];
};

/** Holds every decision of a history against the changes of its device. */
export function check({ changes, decisions }: Pick<History, 'changes' | 'decisions'>): Verdict {
  const byDevice = Map.groupBy(changes, ({ device }) => device);
  const violations: Violation[] = [];
  const falseRejections: Decision[] = [];
  for (const decision of decisions) {
    const own = byDevice.get(decision.device) ?? [];
    const secret = changes[decision.secret];
    if (secret === undefined || secret.device !== decision.device) {
      throw new Error(`a decision on secret ${decision.secret}, which is none of device ${decision.device}`);
    }
    if (decision.outcome === 'GRANTED') {
      const violation = violationOf(decision, secret, own);
      if (violation !== undefined) violations.push(violation);
    } else if (decision.outcome === 'DENIED' && isSurelyValid(decision, secret, own)) {
      falseRejections.push(decision);
    }
  }
  return { violations, falseRejections };
}

function violationOf(decision: Decision, secret: Change, own: readonly Change[]): Violation | undefined {
  if (secret.outcome === 'REFUSED') return { rule: 'NEVER_SET', decision, change: secret };
  let later: Violation | undefined;
  for (const change of own) {
    if (change.outcome !== 'OK' || change.endUs === undefined || !forbids(change, decision, secret, own)) continue;
    if (change.endUs < decision.beginUs) return { rule: 'BY_START', decision, change };
    if (decision.decidedUs !== undefined && change.endUs < decision.decidedUs) {
      later = { rule: 'BY_DECISION', decision, change };
    }
  }
  return later;
}

/** Whether a grant of this secret contradicts a change that was answered before it. `own`: all changes of the device. */
export function forbids(
  change: Change,
  decision: Pick<Decision, 'endUs' | 'revision'>,
  secret: Change,
  own: readonly Change[],
): boolean {
  if (change === secret) return false;
  // Decided on an older record, even if the secret was the same in both.
  if (change.revision !== undefined && (decision.revision ?? change.revision) < change.revision) return true;
  switch (change.act) {
    case 'RESET':
    case 'RETIRE':
      if (foundDone(change) && secret.builtOn === change.builtOn) return false;
      return change.slot === secret.slot && secret.builtOn <= change.builtOn;
    case 'DELETE':
      return secret.builtOn <= change.builtOn;
    case 'FREEZE':
      return !own.some((other) => releases(other, change) && other.beginUs < decision.endUs);
    default:
      return false;
  }
}

function releases(change: Change, freeze: Change): boolean {
  const lets = change.act === 'UNFREEZE' || change.act === 'CREATE';
  return lets && change.outcome !== 'REFUSED' && change.builtOn > freeze.builtOn;
}

/** Whether the secret was in force, beyond doubt, from the question's beginning to its answer. */
function isSurelyValid(decision: Decision, secret: Change, own: readonly Change[]): boolean {
  if (!isDone(secret, decision)) return false;
  return own.every((change) => {
    const isApart = change === secret || change.outcome === 'REFUSED' || change.beginUs >= decision.endUs;
    return isApart || !mayTake(change, secret) || wasNeverWritten(change, own) || isUndone(change, decision, own);
  });
}

function isDone(change: Change, decision: Decision): boolean {
  return change.outcome === 'OK' && change.endUs !== undefined && change.endUs < decision.beginUs;
}

function mayTake(change: Change, secret: Change): boolean {
  if (change.act === 'FREEZE') return true;
  if (change.builtOn <= secret.builtOn) return false;
  return change.act === 'DELETE' || change.slot === secret.slot;
}

/** Another change was written on the revision that this one needed. */
function wasNeverWritten(change: Change, own: readonly Change[]): boolean {
  if (change.outcome === 'OK') return false;
  const isOther = (other: Change) => other !== change && other.outcome === 'OK' && !foundDone(other);
  return own.some((other) => isOther(other) && other.builtOn === change.builtOn);
}

function isUndone(change: Change, decision: Decision, own: readonly Change[]): boolean {
  return change.act === 'FREEZE' && own.some((other) => releases(other, change) && isDone(other, decision));
}
