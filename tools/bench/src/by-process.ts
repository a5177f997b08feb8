import { cpuUs, type Figure, figureOf, perSecond, type Round } from './measure.ts';
import type { Server } from './processes.ts';
import { serverRound } from './server-round.ts';

/** A process whose CPU time is counted. */
export type Counted = Pick<Server, 'cpuUs'>;

/** What does the work of one side. */
export type Workers = {
  /** What its figure is the sum of, by name. */
  readonly own: Readonly<Record<string, Counted>>;
  /** What works for it beside that, by name. */
  readonly beside: Readonly<Record<string, Counted>>;
};

/** CPU time of all that the side's figure sums up, and of each process by name. */
export type ByProcess = { readonly round: Round; readonly byProcess: Readonly<Record<string, Round>> };

/** A round of one side's load, which answers how many operations it made. */
export async function roundOf(
  { own, beside }: Workers,
  load: (ms: number) => Promise<number>,
  ms: number,
): Promise<ByProcess> {
  const summed = Object.values(own);
  const each = Object.entries({ ...own, ...beside });
  const before = each.map(([, process]) => process.cpuUs());
  const sum = { cpuUs: () => summed.reduce((total, process) => total + process.cpuUs(), 0) };
  const round = await serverRound(sum, load, ms);
  const used = each.map(([name, process], index) => {
    return [name, { ...round, cpuUs: process.cpuUs() - (before[index] ?? 0) }] as const;
  });
  return { round, byProcess: Object.fromEntries(used) };
}

/** The figures of one case: CPU time in all and by process, and operations in a second. `operation` is one of them. */
export function ratesOf(name: string, rounds: readonly ByProcess[], operation: string): Record<string, Figure> {
  const processes = Object.keys(rounds[0]?.byProcess ?? {});
  const shares = processes.length === 1 ? [] : processes;
  const shareOf = (of: string) => rounds.flatMap(({ byProcess }) => byProcess[of] ?? []).map(cpuUs);
  return {
    [`${name}_cpu_us_per_${operation}`]: figureOf(rounds.map(({ round }) => cpuUs(round))),
    ...Object.fromEntries(shares.map((of) => [`${name}_${of}_cpu_us_per_${operation}`, figureOf(shareOf(of))])),
    [`${name}_${operation}s_per_s`]: figureOf(rounds.map(({ round }) => perSecond(round))),
  };
}
