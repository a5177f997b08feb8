import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readRepo } from './repo.ts';
import { RULES } from './rules.ts';

const repo = readRepo(join(import.meta.dirname, '../../..'));

it('sees the repository', () => {
  expect([...repo.files.keys()]).toEqual(expect.arrayContaining(['dev', 'libs/kernel/src/index.ts', '.gitignore']));
  expect([...repo.files.keys()].filter((path) => path.includes('node_modules'))).toEqual([]);
});

it.each(Object.entries(RULES))('%s', (_, rule) => {
  expect(rule(repo)).toEqual([]);
});
