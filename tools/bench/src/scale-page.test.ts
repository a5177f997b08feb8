import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Sources } from './document.ts';
import { PRICES } from './extrapolate.ts';
import { DOCS } from './figures.ts';
import { SCALE_PAGE, withTables } from './scale-page.ts';

const BEGIN = '<!-- computed: `npm run bench -- stream cold memory replicas --write` -->';
const PAGE = `# Scale\n\n${BEGIN}\nsuperseded\n<!-- end -->\n\nrest\n`;
const machine = { cpu: 'x', cores: 2, memoryGiB: 4, os: 'Linux', node: 'v26.0.0', load: 0 };

/** Every figure is 10. */
const rates = Object.fromEntries(
  Object.values(PRICES).map(({ figure }) => [figure, { median: 10, min: 10, max: 10 }] as const),
);
const kept = Object.fromEntries(
  Object.values(PRICES).map(({ suite }) => {
    const command = `npm run bench -- ${suite}`;
    return [suite, { command, commit: 'c', date: '2026-01-01', machine, findings: { ratios: {}, rates } }] as const;
  }),
) satisfies Sources['kept'];

test('the tables come between the marks, and the rest stays', () => {
  const page = withTables(PAGE, kept);
  expect(page.startsWith(`# Scale\n\n${BEGIN}\n\n| figure`)).toBe(true);
  expect(page.endsWith('\n\n<!-- end -->\n\nrest\n')).toBe(true);
  expect(page).not.toContain('superseded');
  expect(page).toMatch(/^\| `cached_bytes_per_device` \| .* \| 10\.00 \| `npm run bench -- memory` \|$/m);
  // A million decisions at 10 us, and a tenth of them misses at 10 us.
  expect(page).toMatch(/^\| auth, cores for decisions \| .* \| 11\.00 \| 20\.00 \| 11\.00 \|$/m);
  // Ten cores for last uses, and one for a tenth of the reads or ten for all, at half load: more than the 16 logs can share.
  expect(page).toMatch(/^\| Redis primaries \| .* \| 23: too many \| 41: too many \| 23: too many \|$/m);
  expect(withTables(page, kept)).toBe(page);
});

test('what lacks a figure says so', () => {
  const { memory: _, ...less } = kept;
  expect(withTables(PAGE, less)).toContain('Not measured yet');
  expect(() => withTables('# Scale', kept)).toThrow(/no place/);
});

test('the page in docs says what the figures there give', () => {
  const file = join(DOCS, 'benchmarks', 'figures.json');
  const there = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Sources['kept']) : {};
  const page = readFileSync(join(DOCS, SCALE_PAGE), 'utf8');
  expect(withTables(page, there)).toBe(page);
});
