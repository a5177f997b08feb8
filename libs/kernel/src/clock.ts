/** Two clocks, given to whoever needs the time: `now` for records, `monotonic` for spans. */
export type Clock = {
  /** Wall-clock time, milliseconds since the Unix epoch. */
  readonly now: () => number;
  /** Milliseconds since an arbitrary start; never steps, does not count a suspended machine. */
  readonly monotonic: () => number;
};

/** The machine's own clocks. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};
