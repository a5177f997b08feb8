/** A mark on an axis. */
export type Tick = { readonly value: number; readonly label: string };

/** Where values lie on an axis: 0 at its begin, 1 at its end. */
export type Scale = { readonly at: (value: number) => number; readonly ticks: readonly Tick[] };

/** Ticks of a linear axis, at least; twice as many at most. */
const MIN_TICKS = 4;

/** From so many decades on, a logarithmic axis has a tick for each of them alone. */
const DECADES_FOR_WHOLE_STEPS = 2.5;

const STEPS = [1, 2, 5] as const;

/** From 0 to a round number at or above `max`. */
export function linearScale(max: number): Scale {
  const step = stepBelow(max / MIN_TICKS);
  const count = Math.max(1, Math.ceil(max / step - 1e-9));
  const end = step * count;
  const ticks = Array.from({ length: count + 1 }, (_, index) => tick(step * index));
  return { at: (value) => value / end, ticks };
}

/** From a round number at or below `min` to one at or above `max`; both above 0. */
export function logScale(min: number, max: number): Scale {
  const wide = Math.log10(max / min) >= DECADES_FOR_WHOLE_STEPS;
  const begin = wide ? 10 ** Math.floor(Math.log10(min) + 1e-9) : stepBelow(min);
  const end = wide ? 10 ** Math.ceil(Math.log10(max) - 1e-9) : stepAbove(Math.max(max, begin * 2));
  const decades = Math.log10(end / begin);
  const at = (value: number) => Math.log10(value / begin) / decades;
  const steps = wide ? [1] : STEPS;
  const first = Math.floor(Math.log10(begin));
  const ticks = Array.from({ length: Math.ceil(decades) + 2 }, (_, index) => 10 ** (first + index))
    .flatMap((decade) => steps.map((step) => tick(step * decade)))
    .filter(({ value }) => value >= begin * 0.999 && value <= end * 1.001);
  return { at, ticks };
}

/** Percentiles up to the last one of `percents`: each nine more takes the same length. */
export function percentScale(lastPercent: number): Scale {
  const nines = (percent: number) => -Math.log10(1 - percent / 100);
  const end = nines(lastPercent);
  const decades = Array.from({ length: Math.floor(end + 1e-9) }, (_, index) => index + 1);
  const marks = [0, 50, ...decades.map((decade) => Number((100 - 10 ** (2 - decade)).toFixed(decade)))];
  return {
    at: (percent) => nines(percent) / end,
    ticks: marks.map((value) => ({ value, label: `${value} %` })),
  };
}

function tick(value: number): Tick {
  const [divisor, unit] = value >= 1e6 ? [1e6, ' M'] : value >= 1e3 ? [1e3, ' k'] : [1, ''];
  return { value, label: `${Number((value / divisor).toPrecision(4))}${unit}` };
}

/** The greatest of 1, 2, 5, 10, 20 and so on that is not above `value`. */
function stepBelow(value: number): number {
  const decade = 10 ** Math.floor(Math.log10(value) + 1e-9);
  return decade * (STEPS.findLast((step) => step * decade <= value * (1 + 1e-9)) ?? 1);
}

function stepAbove(value: number): number {
  const decade = 10 ** Math.floor(Math.log10(value) + 1e-9);
  return decade * (STEPS.find((step) => step * decade >= value * (1 - 1e-9)) ?? 10);
}
