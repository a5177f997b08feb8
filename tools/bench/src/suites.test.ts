import { expect, test } from 'vitest';
import { chosenSuites, SUITES } from './suites.ts';

const chosen = (names: readonly string[], atTarget = false) => chosenSuites(names, atTarget).map(([name]) => name);

test('suites run in their order; all of them, when none is named', () => {
  expect(chosen(['stream', 'verify'])).toEqual(['verify', 'stream']);
  expect(chosen([])).toEqual(Object.keys(SUITES));
  expect(chosen(['verify', 'all'])).toEqual(Object.keys(SUITES));
});

test('at a server elsewhere, those run that can, and one that cannot is an error when it is named', () => {
  expect(chosen([], true)).toEqual(['unary', 'stream']);
  expect(chosenSuites(['unary'], true)).toEqual([['unary', SUITES['unary']?.atTarget]]);
  expect(() => chosen(['stream', 'mqtt'], true)).toThrow('mqtt measures processes of its own and cannot run');
});
