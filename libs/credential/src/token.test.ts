import { createSecretKey } from 'node:crypto';
import { toRevision } from '@latchkey/kernel';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { idOf } from './test-devices.ts';
import { makeToken, readToken, type TokenClaims, type TokenKeys } from './token.ts';

const keyOf = (number: number) => createSecretKey(Buffer.alloc(32, number));
const KEYS: TokenKeys = {
  current: 'aabbccdd',
  byReference: new Map([
    ['aabbccdd', keyOf(1)],
    ['00000002', keyOf(2)],
  ]),
};
const CLAIMS: TokenClaims = { credentialId: idOf(9), sessionsClosedAt: toRevision(3), expiresAtMs: 1_800_000_000_000 };
const LONGEST = 'p'.repeat(128);

const deviceIds = fc.stringMatching(/^[A-Za-z0-9_-]{1,128}$/);
const claims: fc.Arbitrary<TokenClaims> = fc.record({
  credentialId: fc.nat(255).map(idOf),
  sessionsClosedAt: fc.maxSafeNat().map(toRevision),
  expiresAtMs: fc.nat({ max: 2 ** 48 - 1 }),
});

test('a token says what it was made of, to its device, in 84 characters', () => {
  fc.assert(
    fc.property(deviceIds, claims, fc.constantFrom('aabbccdd', '00000002'), (deviceId, said, current) => {
      const token = makeToken(deviceId, said, { ...KEYS, current });
      expect(token).toMatch(/^[A-Za-z0-9_-]{84}$/);
      expect(readToken(deviceId, token, KEYS)).toEqual(said);
    }),
    { numRuns: 300 },
  );
});

test('a token of another device, or of a key that is gone, says nothing', () => {
  const token = makeToken(LONGEST, CLAIMS, KEYS);
  expect(readToken(LONGEST, token, KEYS)).toEqual(CLAIMS);
  expect(readToken(LONGEST.slice(1), token, KEYS)).toBeUndefined();
  expect(readToken('', token, KEYS)).toBeUndefined();
  expect(readToken(LONGEST, token, { current: '00000002', byReference: new Map([['00000002', keyOf(2)]]) })).toBe(
    undefined,
  );
  expect(readToken(LONGEST, token, { ...KEYS, byReference: new Map([['aabbccdd', keyOf(2)]]) })).toBeUndefined();
});

test('no token is made without its key', () => {
  expect(() => makeToken('a', CLAIMS, { ...KEYS, current: '00000003' })).toThrow('there is no key to make tokens with');
});

test('a token with any one bit turned says nothing', () => {
  const token = Buffer.from(makeToken('pump_7', CLAIMS, KEYS), 'base64url');
  for (let bit = 0; bit < token.length * 8; bit += 1) {
    const turned = Buffer.from(token);
    turned[bit >> 3] = (turned[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(readToken('pump_7', turned.toString('base64url'), KEYS)).toBeUndefined();
  }
});

test('no two tokens of a tag: bytes do not move between token and device id', () => {
  const token = Buffer.from(makeToken('pump_7', CLAIMS, KEYS), 'base64url');
  const moved = Buffer.concat([token.subarray(0, 31), Buffer.from('p'), token.subarray(31)]).toString('base64url');
  expect(readToken('ump_7', moved, KEYS)).toBeUndefined();
});

test('whatever is sent in place of a token says nothing and throws nothing', () => {
  const good = makeToken('pump_7', CLAIMS, KEYS);
  const spoilt = fc
    .tuple(fc.nat(84), fc.nat(5), fc.string({ unit: 'binary', maxLength: 5 }))
    .map(([at, cut, put]) => good.slice(0, at) + put + good.slice(at + cut));
  const texts = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.stringMatching(/^[A-Za-z0-9_-]{83,85}$/),
    fc.uint8Array({ minLength: 63, maxLength: 63 }).map((bytes) => Buffer.from(bytes).toString('base64url')),
    spoilt.filter((text) => text !== good),
    fc.constantFrom(`${good}=`, `${good}\n`, ` ${good}`, good.replace(/.$/, '+'), ''),
  );
  fc.assert(
    fc.property(texts, (text) => {
      expect(readToken('pump_7', text, KEYS)).toBeUndefined();
    }),
    { numRuns: 2_000, seed: 20_261_123 },
  );
});
