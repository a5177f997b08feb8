import type { Curve } from './curve.ts';
import { atPercent, type Distribution } from './latency.ts';
import { machineLine } from './machine.ts';
import type { Figure, Ratio } from './measure.ts';
import type { Report } from './report.ts';

/** Percentiles that a table names, beside the longest time. */
export const NAMED_PERCENTS = [50, 90, 99, 99.9] as const;

type Row = readonly string[];

/** The report for a reader: the machine, then a line for each figure. */
export function tableOf({ machine, ratios, rates, latencies, curves, absent, failed }: Report): string {
  const sections: readonly (readonly Row[])[] = [
    [
      ['ratio', 'median', 'min', 'max', 'aim', 'met'],
      ...Object.entries(ratios).map(([name, ratio]) => [name, ...spread(ratio), aimOf(ratio), metOf(ratio)]),
    ],
    [['rate', 'median', 'min', 'max'], ...Object.entries(rates).map(([name, rate]) => [name, ...spread(rate)])],
    [
      ['latency, ms', ...NAMED_PERCENTS.map((percent) => `p${percent}`), 'max', 'count', 'not started', 'no answer'],
      ...Object.entries(latencies).flatMap(([name, { series }]) =>
        Object.entries(series).map(([line, found]) => [`${name}: ${line}`, ...latencyCells(found)]),
      ),
    ],
    ...Object.entries(curves).map(([name, curve]) => curveRows(name, curve)),
  ];
  const tables = sections.filter(({ length }) => length > 1).map(aligned);
  const notes = [
    ...Object.entries(absent).map(([name, reason]) => `${name}: not measured: ${reason}`),
    ...Object.entries(failed).map(([name, message]) => `suite ${name} failed: ${message}`),
  ];
  const blocks = [[machineLine(machine)], ...tables, ...(notes.length > 0 ? [notes] : [])];
  return `${blocks.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

/** Median, min and max, for a reader. */
export function spread({ median, min, max }: Figure): string[] {
  return [median, min, max].map(shown);
}

/** A number with about three digits. */
export function shown(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return value !== 0 && Math.abs(value) < 1 ? value.toPrecision(2) : value.toFixed(2);
}

/** What a ratio is held against. */
export function aimOf({ aim, bound }: Ratio): string {
  return `${bound === 'at_most' ? '<=' : '>='} ${aim}`;
}

/** Whether the aim is met. */
export function metOf({ met }: Ratio): string {
  return met ? 'yes' : 'NO';
}

/** A distribution at the named percentiles, its longest time, its count, what was not started and what had no answer. */
export function latencyCells(found: Distribution): string[] {
  const times = [...NAMED_PERCENTS, 100].map((percent) => shown(atPercent(found, percent)));
  const counts = [found.count, found.notStarted, found.notAnswered];
  return [...times, ...counts.map((count) => count?.toLocaleString('en-US') ?? '-')];
}

/** A curve as a table: a row for each x, a column for each line. */
export function curveRows(name: string, { x, y, series }: Curve): readonly Row[] {
  const lines = Object.entries(series);
  const xs = [...new Set(lines.flatMap(([, points]) => points.map((point) => point.x)))].sort((a, b) => a - b);
  const cell = (points: Curve['series'][string], at: number) => {
    const found = points.find((point) => point.x === at);
    return found === undefined ? '-' : shown(found.y);
  };
  return [
    [`${name}: ${y}, by ${x}`, ...lines.map(([line]) => line)],
    ...xs.map((at) => [
      at.toLocaleString('en-US', { maximumFractionDigits: at < 100 ? 2 : 0 }),
      ...lines.map(([, points]) => cell(points, at)),
    ]),
  ];
}

/** Names to the left, figures to the right. */
function aligned(rows: readonly Row[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  '),
  );
}
