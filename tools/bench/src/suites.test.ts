import { expect, onTestFinished, test } from 'vitest';
import { Processes } from './processes.ts';
import { WITH_SBIN } from './programs.ts';
import { chosenSuites, SUITES } from './suites.ts';

const chosen = (names: readonly string[], atTarget = false) => chosenSuites(names, atTarget).map(([name]) => name);

test('suites run in their order; all of them, when none is named', () => {
  expect(chosen(['stream', 'verify'])).toEqual(['verify', 'stream']);
  expect(chosen([])).toEqual(Object.keys(SUITES));
  expect(chosen(['verify', 'all'])).toEqual(Object.keys(SUITES));
});

test('a suite that lacks a program says what to install', async () => {
  const { PATH } = WITH_SBIN;
  onTestFinished(() => void Object.assign(WITH_SBIN, { PATH }));
  WITH_SBIN.PATH = '';
  const [, reset] = chosenSuites(['reset'], false)[0] ?? [];
  const plan = { quick: true, rounds: 1, scale: 1, processes: new Processes(), say: () => undefined };
  await expect(reset?.(plan)).rejects.toThrow('there is no redis-server here (apt-get install redis-server)');
});

test('at a server elsewhere, those run that can, and one that cannot is an error when it is named', () => {
  expect(chosen([], true)).toEqual(['unary', 'stream']);
  expect(() => chosen(['stream', 'mqtt'], true)).toThrow('mqtt measures processes of its own and cannot run');
});
