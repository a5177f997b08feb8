import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { distributionOf } from '../latency.ts';
import { barsSvg, curveSvg, latencySvg } from './plots.ts';

/** Tag, class, text and attributes of every element, by a parser that takes nothing but well-formed XML. */
const PARSE = `
import json, sys, xml.etree.ElementTree as tree
print(json.dumps([[e.tag.split('}')[1], e.text, e.attrib] for e in tree.fromstring(sys.stdin.read()).iter()]))`;

function parsed(svg: string): readonly (readonly [tag: string, text: string | null, Record<string, string>])[] {
  return JSON.parse(execFileSync('/usr/bin/python3', ['-c', PARSE], { input: svg, encoding: 'utf8' }));
}

function texts(svg: string): readonly (string | null)[] {
  return parsed(svg).flatMap(([tag, text]) => (tag === 'text' ? [text] : []));
}

/** Points of the lines, without their strokes in the legend. */
function lines(svg: string): readonly (readonly (readonly number[])[])[] {
  const paths = parsed(svg).filter(([tag, , { class: name = '' }]) => tag === 'path' && name.startsWith('line'));
  return paths
    .map(([, , { d = '' }]) =>
      [...d.matchAll(/[ML]([\d.]+) ([\d.]+)/g)].map((match) => [Number(match[1]), Number(match[2])]),
    )
    .filter(({ length }) => length > 1);
}

test('a plot of latencies has title, legend, axes with units, and rising lines', () => {
  const times = Array.from({ length: 2_000 }, (_, index) => (index + 1) / 100);
  const series = { 'at <50 %> & "more"': distributionOf(times), other: distributionOf([0.0001, 3]) };
  const svg = latencySvg({ title: 'Latency & load', series });
  const [[root, , head] = [], title] = parsed(svg);
  expect([root, head?.['viewBox'], title?.slice(0, 2)]).toEqual([
    'svg',
    expect.stringMatching(/^0 0 820 \d+$/),
    ['title', 'Latency & load'],
  ]);
  expect(texts(svg)).toEqual([
    ...['Latency & load', 'at <50 %> & "more"', 'other', 'answered within, ms'],
    ...['0.01', '0.1', '1', '10', '100', '0 %', '50 %', '90 %', '99 %', '99.9 %', 'share of the answers'],
  ]);
  const [first = [], second = []] = lines(svg);
  expect(second).toHaveLength(6);
  for (const [index, [x = 0, y = 0]] of first.slice(1).entries()) {
    expect(x).toBeGreaterThan(first[index]?.[0] ?? 0);
    expect(y).toBeLessThanOrEqual(first[index]?.[1] ?? 0);
  }
});

test('a curve has a dot for each point, within the axes', () => {
  const points = [1_000, 100_000, 10_000_000].map((x, index) => ({ x, y: index + 1 }));
  const svg = curveSvg({ title: 'Fleet', x: 'devices', y: 'CPU, µs', series: { uniform: points } });
  expect(texts(svg)).toEqual([
    ...['Fleet', 'uniform', 'CPU, µs', '0', '0.5', '1', '1.5', '2', '2.5', '3'],
    ...['1 k', '10 k', '100 k', '1 M', '10 M', 'devices'],
  ]);
  const dots = parsed(svg)
    .filter(([tag]) => tag === 'circle')
    .map(([, , { cx, cy }]) => [Number(cx), Number(cy)]);
  expect(dots).toEqual(lines(svg)[0]);
  expect(dots.map(([x = 0]) => x)).toEqual([72, 432, 792]);
});

test('a bar is as long as its median, and its value stands behind it', () => {
  const bars = { one: { median: 10, min: 8, max: 20 }, half: { median: 5, min: 5, max: 5 } };
  const svg = barsSvg({ title: 'Costs', axis: 'CPU, ns', bars });
  expect(texts(svg)).toEqual(['Costs', 'CPU, ns', 'one', '10.00', 'half', '5.00']);
  const [one = 0, half = 0] = parsed(svg).flatMap(([tag, , { class: name = '', width }]) =>
    tag === 'rect' && name.startsWith('fill') ? [Number(width)] : [],
  );
  expect(one / half).toBeCloseTo(2, 2);
});
