import type { Bars } from '../bars.ts';
import type { Curve, Point } from '../curve.ts';
import type { Distribution, LatencyPlot } from '../latency.ts';
import { shown } from '../table.ts';
import { type Area, drawing, framed } from './frame.ts';
import { linearScale, logScale, percentScale, type Scale } from './scale.ts';
import { colourClass } from './style.ts';
import { element, label, through } from './svg.ts';

/** Times below do not stretch the axis: some end before they are waited for. */
const LEAST_MS = 0.01;

/** Pixels. */
const HEIGHT = 300;
const DOT = 4;
const BAR = { height: 20, gap: 14, top: 62, bottom: 30, width: 820, padding: 24 } as const;
const CHARACTER = 7.4;
/** Room for the value behind the longest bar. */
const VALUE_ROOM = 84;

/** Latency by percentile, each further nine as long as the one before; both axes logarithmic. */
export function latencySvg({ title, series }: LatencyPlot): string {
  const lines = Object.entries(series).map(([name, found]) => ({ name, points: pointsOf(found) }));
  const all = lines.flatMap(({ points }) => points);
  const times = all.map(({ y }) => y);
  const x = { scale: percentScale(Math.max(...all.map((point) => point.x))), label: 'share of the answers' };
  const y = { scale: logScale(Math.min(...times), Math.max(...times)), label: 'answered within, ms' };
  return framed({ title, x, y, legend: lines.map(({ name }) => name), height: HEIGHT }, (area) =>
    lines.map(({ points }, index) => line(area, points, index)),
  );
}

/** Lines with a dot at each point. */
export function curveSvg({ title, x, y, xScale, yScale, series }: Curve): string {
  const lines = Object.entries(series);
  const all = lines.flatMap(([, points]) => points);
  const axes = {
    x: {
      scale: scaleFor(
        all.map((point) => point.x),
        xScale ?? 'log',
      ),
      label: x,
    },
    y: {
      scale: scaleFor(
        all.map((point) => point.y),
        yScale ?? 'linear',
      ),
      label: y,
    },
  };
  return framed({ title, ...axes, legend: lines.map(([name]) => name), height: HEIGHT }, (area) =>
    lines.flatMap(([, points], index) => [
      line(area, points, index),
      ...points.map((point) => dot(area, point, index)),
    ]),
  );
}

/** A bar to the right for each figure, its extremes as a whisker. */
export function barsSvg({ title, axis, bars }: Bars): string {
  const rows = Object.entries(bars);
  const left = BAR.padding + Math.max(...rows.map(([name]) => name.length)) * CHARACTER + 12;
  const room = BAR.width - BAR.padding - VALUE_ROOM - left;
  const longest = Math.max(...rows.map(([, { max }]) => max));
  const x = (value: number) => left + (value / longest) * room;
  const content = rows.flatMap(([name, { median, min, max }], index) => {
    const y = BAR.top + 12 + index * (BAR.height + BAR.gap);
    const middle = y + BAR.height / 2;
    return [
      label(name, { class: 'end', x: left - 12, y: middle + 4.5 }),
      element('rect', {
        class: `fill bar ${colourClass(0)}`,
        x: left,
        y,
        width: Math.max(1, x(median) - left),
        height: BAR.height,
        rx: 3,
      }),
      element('path', {
        class: 'whisker',
        d: `M${x(min).toFixed(1)} ${middle}H${x(max).toFixed(1)}m0 -5v10M${x(min).toFixed(1)} ${middle - 5}v10`,
      }),
      label(shown(median), { x: Math.max(x(median), x(max)) + 10, y: middle + 4.5 }),
    ];
  });
  const height = BAR.top + 12 + rows.length * (BAR.height + BAR.gap) + BAR.bottom - BAR.gap;
  return drawing(title, height, [label(axis, { class: 'note', x: BAR.padding, y: 56 }), ...content]);
}

/** The longest time stands where half of one value lies above it. */
function pointsOf({ count, percentiles }: Distribution): readonly Point[] {
  const last = 100 - 50 / count;
  return percentiles.map(({ percent, ms }) => ({ x: Math.min(percent, last), y: Math.max(ms, LEAST_MS) }));
}

function scaleFor(values: readonly number[], kind: 'linear' | 'log'): Scale {
  return kind === 'log' ? logScale(Math.min(...values), Math.max(...values)) : linearScale(Math.max(...values));
}

function line(area: Area, points: readonly Point[], index: number): string {
  const d = through(points.map((point) => [area.x(point.x), area.y(point.y)]));
  return element('path', { class: `line ${colourClass(index)}`, d });
}

function dot(area: Area, { x, y }: Point, index: number): string {
  return element('circle', { class: `fill ${colourClass(index)}`, cx: area.x(x), cy: area.y(y), r: DOT });
}
