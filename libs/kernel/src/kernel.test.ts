import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { assertNever, parseDeviceId, Secret, systemRandom, toCredentialId, toRevision } from './index.ts';

const CANARY = 'canary-secret';

test('a secret shows only to reveal', () => {
  const secret = new Secret(CANARY);
  const shown = [
    `${secret}`,
    `x${String(secret)}`,
    [secret].join(),
    JSON.stringify({ secret, list: [secret] }),
    inspect({ secret }, { depth: 9, showHidden: true }),
    inspect(secret, { customInspect: false, showHidden: true }),
    JSON.stringify(structuredClone(secret)),
    JSON.stringify(Object.entries(secret)),
    new Error(`about ${secret}`).stack,
    inspect(new Error('x', { cause: secret })),
  ];
  expect(shown.join('\n')).not.toContain(CANARY);
  expect(secret.reveal()).toBe(CANARY);
});

test('a device id is 1 to 128 of A-Za-z0-9_- and nothing more', () => {
  for (const id of ['a', 'A_1-z', 'x'.repeat(128)]) expect(parseDeviceId(id)).toBe(id);
  for (const id of ['', 'x'.repeat(129), 'a b', 'a\n', 'ä', 'a.b']) expect(parseDeviceId(id)).toBeUndefined();
});

test('a revision is a whole number that a double holds', () => {
  expect(toRevision(2n ** 53n - 1n)).toBe(Number.MAX_SAFE_INTEGER);
  for (const value of [-1, 1.5, Number.NaN, 2n ** 53n]) {
    expect(() => toRevision(value)).toThrow(new RangeError(`not a revision: ${value}`));
  }
});

test('a credential id is 12 bytes as 16 characters', () => {
  expect(toCredentialId(systemRandom(12))).toMatch(/^[A-Za-z0-9_-]{16}$/);
  expect(() => toCredentialId(systemRandom(11))).toThrow(new RangeError('a credential id has 12 bytes'));
});

test('a value that cannot be ends in an error', () => {
  expect(() => assertNever('odd' as never)).toThrow('unexpected value: odd');
});
