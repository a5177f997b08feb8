import { expect, test } from 'vitest';
import { whatIsMissing } from './programs.ts';

test('what is missing is named with the packages to install, each once', () => {
  const packages = {
    sh: 'dash',
    '/etc/passwd': 'base-passwd',
    'no-such-program': 'one',
    '/no/such/file': 'one',
    'nor-this': 'two',
  };
  expect(whatIsMissing(packages)).toBe(
    'there is no no-such-program, no /no/such/file, no nor-this here (apt-get install one two)',
  );
  expect(whatIsMissing({ sh: 'dash', '/etc/passwd': 'base-passwd' })).toBeUndefined();
});
