import type { Verdict, Violation } from './checker.ts';
import type { Fault } from './faults.ts';
import type { Change, History } from './history.ts';
import { kickTimesMs, type SessionVerdict } from './session-rule.ts';
import type { Heard } from './watching.ts';

/** What the ids of a run's devices begin with. */
export const DEVICE_PREFIX = 'chaos';

/** Percentiles in milliseconds; undefined: nothing was measured. */
export type Percentiles = {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
};

/** A run in figures; `violations` and `falseRejections` must be 0. */
export type Report = {
  readonly seed: number;
  readonly seconds: number;
  readonly decisions: number;
  readonly granted: number;
  readonly denied: number;
  /** CONNECTs among the decisions that opened a session, and the sessions that a change ended. */
  readonly sessions: number;
  readonly sessionsEnded: number;
  /** Questions without a decision, by gRPC status code, denials by reason, and CONNACKs. */
  readonly details: Readonly<Record<string, number>>;
  /** Grants that tell when they were decided. */
  readonly timed: number;
  /** Resets that were answered. */
  readonly resets: number;
  /** All changes by what they did and what became of them. */
  readonly changes: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly violations: number;
  readonly violationsByRule: Readonly<Record<string, number>>;
  /** The sessions among the violations: they outlived a change that ends them by more than the bound. */
  readonly staleSessions: number;
  readonly falseRejections: number;
  /** From a reset's request to its answer. */
  readonly resetMs: Percentiles;
  /** From a change's request until each replica has told its watchers. */
  readonly propagationMs: Percentiles;
  /** From the answer of the change that ends a session to its end, of those that the gateway ended; 0: before the answer. */
  readonly kickMs: Percentiles;
  /** From the answer of the change that forbids it to the decision, of violations. */
  readonly staleMs: Percentiles;
  /** The first violations and false rejections, each with the changes of its device. */
  readonly examples: readonly unknown[];
};

const EXAMPLES = 5;

/** What a report is made from. */
export type Findings = {
  readonly history: History;
  readonly verdict: Verdict & SessionVerdict;
  readonly schedule: readonly Fault[];
  readonly seconds: number;
  readonly seed: number;
  readonly details: ReadonlyMap<string, number>;
  readonly heard: readonly Heard[];
};

/** The run in figures. */
export function reportOf({ history, verdict, schedule, seconds, seed, details, heard }: Findings): Report {
  const { changes, decisions } = history;
  const { violations, falseRejections, endings, stale } = verdict;
  const resets = changes.filter(({ act, outcome }) => act === 'RESET' && outcome === 'OK');
  return {
    seed,
    seconds: Math.round(seconds * 10) / 10,
    decisions: decisions.filter(({ outcome }) => outcome !== 'NONE').length,
    granted: decisions.filter(({ outcome }) => outcome === 'GRANTED').length,
    denied: decisions.filter(({ outcome }) => outcome === 'DENIED').length,
    sessions: history.sessions.length,
    sessionsEnded: endings.length,
    details: Object.fromEntries([...details].sort()),
    timed: decisions.filter(({ outcome, decidedUs }) => outcome === 'GRANTED' && decidedUs !== undefined).length,
    resets: resets.length,
    changes: counted(changes.map(({ act, outcome }) => `${act} ${outcome}`)),
    faults: counted(schedule.map(({ kind }) => kind)),
    violations: violations.length + stale.length,
    violationsByRule: counted([...violations.map(({ rule }) => rule), ...stale.map(() => 'STALE_SESSION')]),
    staleSessions: stale.length,
    falseRejections: falseRejections.length,
    resetMs: percentilesOf(resets.map(({ beginUs, endUs }) => ((endUs ?? beginUs) - beginUs) / 1_000)),
    propagationMs: percentilesOf(propagation(changes, heard)),
    kickMs: percentilesOf(kickTimesMs(endings)),
    staleMs: percentilesOf(violations.map(stalenessMs)),
    examples: examplesOf(verdict)
      .slice(0, EXAMPLES)
      .map(([device, example]) => ({ ...example, changes: changes.filter((change) => change.device === device) })),
  };
}

/** What went wrong, each with its device. */
function examplesOf({
  violations,
  falseRejections,
  stale,
}: Findings['verdict']): readonly (readonly [number, object])[] {
  return [
    ...violations.map((violation) => [violation.decision.device, violation] as const),
    ...stale.map((ending) => [ending.session.device, { rule: 'STALE_SESSION', ...ending }] as const),
    ...falseRejections.map((decision) => [decision.device, { rule: 'FALSE_REJECTION', decision }] as const),
  ];
}

function counted(names: readonly string[]): Readonly<Record<string, number>> {
  const counts = Map.groupBy(names, (name) => name);
  return Object.fromEntries([...counts].map(([name, { length }]) => [name, length] as const).sort());
}

function stalenessMs({ decision, change }: Violation): number {
  return ((decision.decidedUs ?? decision.beginUs) - (change.endUs ?? 0)) / 1_000;
}

function propagation(changes: readonly Change[], heard: readonly Heard[]): readonly number[] {
  const key = (deviceId: string, revision: number | undefined) => `${deviceId} ${revision}`;
  const begun = new Map(
    changes.map((change) => [key(`${DEVICE_PREFIX}-${change.device}`, change.revision), change.beginUs]),
  );
  return heard.flatMap(({ deviceId, revision, atUs }) => {
    const beginUs = begun.get(key(deviceId, revision));
    return beginUs === undefined ? [] : [(atUs - beginUs) / 1_000];
  });
}

/** The percentiles of some durations; all 0 when there are none. */
export function percentilesOf(values: readonly number[]): Percentiles {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => {
    const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    return Math.round(value * 100) / 100;
  };
  return { count: sorted.length, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}

/** The report for people. */
export function textOf(report: Report): string {
  const list = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ') || 'none';
  const spread = ({ count, p50, p90, p99, max }: Percentiles) =>
    `p50 ${p50}, p90 ${p90}, p99 ${p99}, max ${max} ms (of ${count})`;
  const lines = [
    `decisions         ${report.decisions} in ${report.seconds} s: ${report.granted} granted, ${report.denied} denied`,
    `no decisions, denials by reason: ${list(report.details)}`,
    `resets            ${report.resets} answered; all changes: ${list(report.changes)}`,
    `faults            ${list(report.faults)}`,
    `reset             ${spread(report.resetMs)}`,
    `propagation       ${spread(report.propagationMs)}`,
    `sessions          ${report.sessions} opened, ${report.sessionsEnded} ended by a change`,
    `kick              ${spread(report.kickMs)}`,
    `violations        ${report.violations} (${list(report.violationsByRule)})`,
    `false rejections  ${report.falseRejections}`,
    ...report.examples.map((example) => JSON.stringify(example)),
  ];
  return `${lines.join('\n')}\n`;
}
