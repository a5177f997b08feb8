import { createHistogram } from 'node:perf_hooks';

/** Longer times count as this long. Nothing here waits for an answer so long. */
const HIGHEST_US = 3_600_000_000;

/** The histogram keeps so many digits of each value. */
const DIGITS = 3;

/** Nines that a distribution goes into at most. */
const DECADES = 6;

/** How long things took, by HdrHistogram. */
export type Distribution = {
  readonly count: number;
  /** Milliseconds within which so many percent ended, rising; the last one, at 100, is the longest. */
  readonly percentiles: readonly Percentile[];
  /** What was due and could not be started, as too much was under way; open-loop load alone has it. */
  readonly notStarted?: number;
  /** Of those that count, what had no answer, at least not in time; open-loop load alone has it. */
  readonly notAnswered?: number;
};

/** One step of a distribution. */
export type Percentile = { readonly percent: number; readonly ms: number };

/** Distributions that stand in one plot, by name of the line. */
export type LatencyPlot = { readonly title: string; readonly series: Readonly<Record<string, Distribution>> };

/** Takes times and makes a distribution of them. */
export class LatencyRecorder {
  readonly #histogram = createHistogram({ lowest: 1, highest: HIGHEST_US, figures: DIGITS });

  /** Counts a time. */
  record(ms: number): void {
    this.#histogram.record(Math.min(HIGHEST_US, Math.max(1, Math.round(ms * 1_000))));
  }

  /** What was recorded so far. Throws when that is nothing. */
  distribution(): Distribution {
    const { count, max } = this.#histogram;
    if (count === 0) throw new RangeError('nothing was measured');
    const steps = percentSteps(count).map((percent) => ({ percent, ms: this.#histogram.percentile(percent) / 1_000 }));
    return { count, percentiles: [...steps, { percent: 100, ms: max / 1_000 }] };
  }
}

/** 10, 20 and so on to 90, 91 to 99, 99.1 to 99.9: as far as one of so many values lies above. */
function percentSteps(count: number): readonly number[] {
  const decades = Array.from({ length: DECADES }, (_, decade) => decade);
  return decades
    .flatMap((decade) => Array.from({ length: 9 }, (_, step) => (9 - step) / 10 ** decade))
    .filter((tenths) => (tenths / 10) * count >= 1)
    .map((tenths) => Number((100 - tenths * 10).toFixed(DECADES)));
}

/** The distribution of these times. Throws on none. */
export function distributionOf(times: readonly number[]): Distribution {
  const recorder = new LatencyRecorder();
  for (const ms of times) recorder.record(ms);
  return recorder.distribution();
}

/** The time within which so many percent ended, milliseconds. */
export function atPercent({ percentiles }: Distribution, percent: number): number {
  const found = percentiles.find((each) => each.percent >= percent) ?? percentiles.at(-1);
  if (found === undefined) throw new RangeError('nothing was measured');
  return found.ms;
}
