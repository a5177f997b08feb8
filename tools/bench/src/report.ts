import type { Machine } from './machine.ts';
import type { Findings } from './measure.ts';

/** All that a run found. */
export type Report = Required<Findings> & {
  readonly machine: Machine;
  /** Suites that ended with an error, and its message. */
  readonly failed: Readonly<Record<string, string>>;
};

/** The findings of several suites in one. */
export function merged(found: readonly Findings[]): Required<Findings> {
  return {
    ratios: Object.assign({}, ...found.map(({ ratios }) => ratios)),
    rates: Object.assign({}, ...found.map(({ rates }) => rates)),
    latencies: Object.assign({}, ...found.map(({ latencies }) => latencies)),
    curves: Object.assign({}, ...found.map(({ curves }) => curves)),
    bars: Object.assign({}, ...found.map(({ bars }) => bars)),
    absent: Object.assign({}, ...found.map(({ absent }) => absent)),
  };
}
