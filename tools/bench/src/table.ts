import type { Machine } from './machine.ts';
import type { Figure, Findings, Ratio } from './measure.ts';

/** All that a run found. */
export type Report = Findings & { readonly machine: Machine };

/** The report for a reader: the machine, then a line for each figure. */
export function tableOf({ machine, ratios, rates }: Report): string {
  const { cpu, cores, memoryGiB, os, node } = machine;
  const rows = [
    ['ratio', 'median', 'min', 'max', 'aim', 'met'],
    ...Object.entries(ratios).map(([name, ratio]) => [name, ...spread(ratio), aimOf(ratio), ratio.met ? 'yes' : 'NO']),
    [],
    ['rate', 'median', 'min', 'max'],
    ...Object.entries(rates).map(([name, rate]) => [name, ...spread(rate)]),
  ];
  return [`${cpu}, ${cores} cores, ${memoryGiB} GiB, ${os}, Node ${node}`, '', ...aligned(rows), ''].join('\n');
}

function spread({ median, min, max }: Figure): string[] {
  return [median, min, max].map(shown);
}

function shown(value: number): string {
  return value < 100 ? value.toFixed(2) : Math.round(value).toLocaleString('en-US');
}

function aimOf({ aim, bound }: Ratio): string {
  return `${bound === 'at_most' ? '<=' : '>='} ${aim}`;
}

/** Names to the left, figures to the right. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = [0, 1, 2, 3, 4, 5].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  '),
  );
}
