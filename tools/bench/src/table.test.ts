import { expect, test } from 'vitest';
import { distributionOf } from './latency.ts';
import { ratioOf } from './measure.ts';
import { tableOf } from './table.ts';

const machine = { cpu: 'A CPU (x64)', cores: 2, memoryGiB: 8, os: 'Linux 6.1', node: 'v26.0.0', load: 0.1 };
const empty = { machine, ratios: {}, rates: {}, latencies: {}, curves: {}, bars: {}, absent: {}, failed: {} };

test('every kind of finding has its rows', () => {
  const table = tableOf({
    machine,
    ratios: { a_over_b: ratioOf([0.5, 0.6, 1], { bound: 'at_least', value: 0.85 }) },
    rates: { calls_per_s: { median: 12_345.6, min: 99, max: 0.0123 } },
    latencies: {
      answers: { title: '', series: { 'at 50 %': { ...distributionOf([1, 2, 3, 4]), notStarted: 7, notAnswered: 1 } } },
    },
    curves: {
      fleet: {
        ...{ title: '', x: 'devices', y: 'µs' },
        series: { uniform: [{ x: 1_000, y: 1 }], zipf: [1_000, 10_000].map((x) => ({ x, y: x / 500 })) },
      },
    },
    bars: {},
    absent: { c_over_d: 'needs g++' },
    failed: { reset: 'no Redis' },
  });
  expect(table.split('\n')).toEqual([
    'A CPU (x64), 2 cores, 8 GiB, Linux 6.1, Node v26.0.0, load before 0.1',
    '',
    'ratio     median   min   max      aim  met',
    'a_over_b    0.60  0.50  1.00  >= 0.85   NO',
    '',
    'rate         median    min    max',
    'calls_per_s  12,346  99.00  0.012',
    '',
    'latency, ms        p50   p90   p99  p99.9   max  count  not started  no answer',
    'answers: at 50 %  2.00  4.00  4.00   4.00  4.00      4            7          1',
    '',
    'fleet: µs, by devices  uniform   zipf',
    '1,000                     1.00   2.00',
    '10,000                       -  20.00',
    '',
    'c_over_d: not measured: needs g++',
    'suite reset failed: no Redis',
    '',
  ]);
});

test('what was not measured takes no line', () => {
  expect(tableOf(empty)).toBe('A CPU (x64), 2 cores, 8 GiB, Linux 6.1, Node v26.0.0, load before 0.1\n');
});
