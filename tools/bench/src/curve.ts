/** A figure over another one. */
export type Curve = {
  readonly title: string;
  /** What stands under the axis: "devices". */
  readonly x: string;
  /** What stands beside it, with its unit: "CPU per decision, µs". */
  readonly y: string;
  /** Left out: logarithmic, as what grows by factors needs it. */
  readonly xScale?: 'linear';
  /** Left out: linear, from 0 on. */
  readonly yScale?: 'log';
  /** Points by name of the line, with x rising; above 0 where a scale is logarithmic. */
  readonly series: Readonly<Record<string, readonly Point[]>>;
};

/** One point of a curve. */
export type Point = { readonly x: number; readonly y: number };
