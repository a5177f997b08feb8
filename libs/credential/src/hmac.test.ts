import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hmacHex } from './hmac.ts';

const algorithm = fc.constantFrom('sha256' as const, 'sm3' as const);
/** Around a block (64 bytes) and around the kept room (256 bytes), in and out of ASCII. */
const text = fc.oneof(
  fc.string({ maxLength: 70 }),
  fc.string({ unit: 'binary', maxLength: 70 }),
  fc.string({ unit: 'grapheme', minLength: 50, maxLength: 300 }),
  fc.constantFrom('', '2026112321', 'k'.repeat(64), 'k'.repeat(65), 'm'.repeat(256), 'm'.repeat(257), 'é'.repeat(128)),
);
const known = (hash: string, key: string, message: string) => createHmac(hash, key).update(message).digest('hex');

test('is the HMAC of node:crypto, whatever was asked before', () => {
  const question = fc.tuple(algorithm, text, text);
  fc.assert(
    fc.property(fc.array(question, { minLength: 1, maxLength: 8 }), (questions) => {
      const twice = [...questions, ...questions];
      expect(twice.map((one) => hmacHex(...one))).toEqual(twice.map((one) => known(...one)));
    }),
    { numRuns: 300 },
  );
});

test('a shorter message after a longer one leaves nothing of it', () => {
  const long = hmacHex('sha256', 'k', 'a'.repeat(200));
  expect(hmacHex('sha256', 'k', 'a')).toBe(known('sha256', 'k', 'a'));
  expect(hmacHex('sha256', 'k', 'a'.repeat(200))).toBe(long);
});
