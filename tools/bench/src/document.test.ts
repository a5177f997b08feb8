import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Document } from './figures.ts';
import { distributionOf } from './latency.ts';
import { type Findings, ratioOf } from './measure.ts';

const machine = { cpu: 'A CPU (x64)', cores: 2, memoryGiB: 8, os: 'Linux 6.1', node: 'v26.0.0', load: 0.1 };
const SUITES = { unary: { question: 'What does it cost?', reading: 'Mind the gap.' }, cold: { question: 'And cold?' } };
const AIM = { bound: 'at_least', value: 0.85 } as const;

function kept(suite: string, findings: Partial<Findings>) {
  const command = `npm run bench -- ${suite}`;
  return { command, commit: 'abc', date: '2026-01-02', machine, findings: { ratios: {}, rates: {}, ...findings } };
}

let docs = '';
beforeEach(() => {
  docs = mkdtempSync(join(tmpdir(), 'latchkey-bench-test-'));
});
afterEach(() => rmSync(docs, { recursive: true }));
const page = () => readFileSync(join(docs, 'benchmarks.md'), 'utf8');
const files = () => readdirSync(join(docs, 'benchmarks')).sort();

test('a section has question, command, ratios, plots, latencies, rates and what is absent', () => {
  const latencies = { unary_latency: { title: 'Answers', series: { 'at 50 %': distributionOf([1, 2]) } } };
  new Document(docs, SUITES).add(
    'unary',
    kept('unary', {
      ratios: { unary_over_empty: ratioOf([0.9], AIM) },
      rates: { calls_per_s: { median: 5_000, min: 4_000, max: 6_000 } },
      absent: { cpp_over_js: 'needs g++' },
      latencies,
    }),
  );
  const section = page().slice(page().indexOf('## unary'));
  expect(section.split('\n\n')).toEqual([
    '## unary',
    'What does it cost?',
    '`npm run bench -- unary`',
    'Mind the gap.',
    expect.stringContaining('| `unary_over_empty` | 0.90 | 0.90 | 0.90 | >= 0.85 | yes |'),
    '- `cpp_over_js` was not measured: needs g++',
    '![Answers](benchmarks/unary_latency.svg)',
    expect.stringContaining('| at 50 % | 1.00 | 2.00 | 2.00 | 2.00 | 2.00 | 2 | - | - |'),
    expect.stringContaining('| `calls_per_s` | 5,000 | 4,000 | 6,000 |'),
  ]);
  expect(page()).toContain('Everything on 2026-01-02, at commit abc, on: A CPU (x64), 2 cores, 8 GiB, Linux 6.1, ');
  expect(page()).toContain('Every aim is met.');
  expect(page()).toContain('Not measured: cold.');
  expect(files()).toEqual(['figures.json', 'notes.json', 'unary_latency.svg']);
});

test('a suite that is measured again replaces its own figures and plots, and no others', () => {
  const document = new Document(docs, SUITES);
  const bars = (name: string) => ({
    bars: { [name]: { title: name, axis: 'ns', bars: { a: { median: 1, min: 1, max: 1 } } } },
  });
  document.add('cold', kept('cold', { ratios: { cold_over_get: ratioOf([1], AIM) }, ...bars('cold_bars') }));
  document.add('unary', kept('unary', bars('before')));
  document.add('unary', { ...kept('unary', bars('after')), commit: 'def' });
  expect(files()).toEqual(['after.svg', 'cold_bars.svg', 'figures.json', 'notes.json']);
  expect(page()).toMatch(/\| `npm run bench -- cold` \| abc \| 2026-01-02 \| A CPU .*, load before 0\.1 \|/);
  expect(page()).toMatch(/## unary.*after\.svg.*## cold.*cold_bars\.svg/s);
});

test('reasons live in a file of their own, outlast a new run, and are merged in', () => {
  const document = new Document(docs, SUITES);
  const unmet = kept('unary', { ratios: { unary_over_empty: ratioOf([0.5], AIM) } });
  document.add('unary', unmet);
  expect(page()).toContain('- `unary_over_empty`, 0.50 where >= 0.85 is the aim: no reason is written down.');
  const notes = join(docs, 'benchmarks', 'notes.json');
  writeFileSync(notes, '{"unary_over_empty": "It does more."}');
  document.add('unary', unmet);
  expect(page()).toContain('0.50 where >= 0.85 is the aim: It does more.');
  writeFileSync(notes, '{"unary_over_empty": "It does less."}');
  document.render();
  expect(page()).toContain('It does less.');
});

test('short runs and busy machines are told', () => {
  const document = new Document(docs, SUITES);
  document.add('cold', kept('cold', {}));
  expect(page()).not.toMatch(/Not at full length|busy machine/);
  expect(page()).toContain('Not measured: unary.');
  document.add('unary', { ...kept('unary --quick', {}), machine: { ...machine, load: 1.5 } });
  expect(page()).not.toContain('Not measured');
  expect(page()).toMatch(/Not at full length.*On a busy machine/s);
});

test('figures that are not there or cannot be read are told', () => {
  const document = new Document(docs, SUITES);
  expect(() => document.render()).toThrow('holds no figures; measure first');
  document.add('cold', kept('cold', {}));
  writeFileSync(join(docs, 'benchmarks', 'notes.json'), '[');
  expect(() => document.render()).toThrow('notes.json is not a JSON object');
});
