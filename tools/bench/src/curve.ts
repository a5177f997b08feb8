/** What an axis shows, as it stands beside it: "devices", "CPU per decision, µs". */
export type AxisLabel = string;

/** A figure over another one, which grows by factors: both axes in their own units. */
export type Curve = {
  readonly title: string;
  /** Drawn on a logarithmic scale. */
  readonly x: AxisLabel;
  /** Drawn from 0 on. */
  readonly y: AxisLabel;
  /** Points by name of the line, with x above 0 and rising. */
  readonly series: Readonly<Record<string, readonly Point[]>>;
};

/** One point of a curve. */
export type Point = { readonly x: number; readonly y: number };
