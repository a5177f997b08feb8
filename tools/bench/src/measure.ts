import type { Bars } from './bars.ts';
import type { Curve } from './curve.ts';
import type { LatencyPlot } from './latency.ts';

/** What one round of one side took. */
export type Round = {
  readonly operations: number;
  /** CPU time of the measured process alone, all its threads, microseconds. */
  readonly cpuUs: number;
  readonly wallMs: number;
};

/** A figure over several rounds. */
export type Figure = { readonly median: number; readonly min: number; readonly max: number };

/** What a ratio is held against. */
export type Aim = { readonly bound: 'at_most' | 'at_least'; readonly value: number };

/** A ratio of two sides of the same run, by round. */
export type Ratio = Figure & { readonly aim: number; readonly bound: Aim['bound']; readonly met: boolean };

/** What a suite found, by names that no other suite uses. */
export type Findings = {
  readonly ratios: Readonly<Record<string, Ratio>>;
  /** They carry their unit in their name. */
  readonly rates: Readonly<Record<string, Figure>>;
  /** Each becomes a plot of that name. */
  readonly latencies?: Readonly<Record<string, LatencyPlot>>;
  /** Each becomes a plot of that name. */
  readonly curves?: Readonly<Record<string, Curve>>;
  /** Each becomes a plot of that name. */
  readonly bars?: Readonly<Record<string, Bars>>;
  /** Ratios and rates that could not be measured here, with the reason and what to install. */
  readonly absent?: Readonly<Record<string, string>>;
};

/** Things to compare, in the order of their turns; each call is one round. One that is not there has none. */
export type Sides<R extends Rounds> = { readonly [Name in keyof R]: () => R[Name] | Promise<R[Name]> };

/** A round of each side. */
export type Rounds = { readonly [name: string]: Round | undefined };

/** Runs A B A B and so on after one unmeasured turn of each, so that a slow minute of the machine falls on all. */
export async function alternate<R extends Rounds>(
  rounds: number,
  sides: Sides<R>,
  onRounds: (round: R) => void,
): Promise<readonly R[]> {
  const found: R[] = [];
  for (let round = 0; round <= rounds; round++) {
    const turn: Record<string, Round | undefined> = {};
    for (const [name, side] of Object.entries(sides)) turn[name] = await side();
    if (round === 0) continue;
    found.push(turn as R);
    onRounds(turn as R);
  }
  return found;
}

/** Median and extremes. Throws on no values. */
export function figureOf(values: readonly number[]): Figure {
  const sorted = values.toSorted((left, right) => left - right);
  const [min, max] = [sorted.at(0), sorted.at(-1)];
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (min === undefined || max === undefined || low === undefined || high === undefined)
    throw new RangeError('no rounds were run');
  return { median: (low + high) / 2, min, max };
}

/** The value below which this share of the values lies. Throws on no values. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  if (value === undefined) throw new RangeError('nothing was measured');
  return value;
}

/** A ratio by round, held against its aim by its median. */
export function ratioOf(values: readonly number[], aim: Aim): Ratio {
  const figure = figureOf(values);
  const met = aim.bound === 'at_most' ? figure.median <= aim.value : figure.median >= aim.value;
  return { ...figure, aim: aim.value, bound: aim.bound, met };
}

/** CPU nanoseconds per operation. */
export function cpuNs({ cpuUs, operations }: Round): number {
  return (cpuUs * 1_000) / operations;
}

/** CPU microseconds per operation. */
export function cpuUs(round: Round): number {
  return cpuNs(round) / 1_000;
}

/** How long it takes, milliseconds of wall-clock time. */
export async function timed(act: () => Promise<void>): Promise<number> {
  const begunMs = performance.now();
  await act();
  return performance.now() - begunMs;
}

/** Operations per second of wall-clock time. */
export function perSecond({ operations, wallMs }: Round): number {
  return (operations * 1_000) / wallMs;
}
