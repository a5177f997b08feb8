import type { Figure } from './measure.ts';

/** Costs of several things side by side, with their spread. Tables leave them out: they stand among the rates as well. */
export type Bars = {
  readonly title: string;
  /** What the length of a bar is: "CPU per call, µs". */
  readonly axis: string;
  /** Figures by name of the bar. */
  readonly bars: Readonly<Record<string, Figure>>;
};
