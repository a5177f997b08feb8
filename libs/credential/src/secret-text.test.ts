import { systemRandom } from '@latchkey/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRefusal, refuse } from './refusal.ts';
import { generateSecret, parseSecret } from './secret-text.ts';

/** The text that was taken, or the refusal. */
function parsed(text: string, format: 'TEXT' | 'HEX'): unknown {
  const secret = parseSecret(text, format);
  return isRefusal(secret) ? secret : secret.reveal();
}

describe('parseSecret', () => {
  it.each(['12345678', 'AZaz09_-', 'x'.repeat(32)])('takes %s', (text) => {
    expect(parsed(text, 'TEXT')).toBe(text);
  });

  it.each(['0123abcd', 'ABCDEF0123', '3b935a250c50dc2c6d481d048cefdc3c'])('takes hex %s as it is', (text) => {
    expect(parsed(text, 'HEX')).toBe(text);
  });

  it.each([
    ['', 'SECRET_LENGTH'],
    ['1234567', 'SECRET_LENGTH'],
    ['x'.repeat(33), 'SECRET_LENGTH'],
    ['1234567 ', 'SECRET_CHARACTERS'],
    ['1234567\n', 'SECRET_CHARACTERS'],
    ['12345678\n', 'SECRET_CHARACTERS'],
    ['1234567é', 'SECRET_CHARACTERS'],
    ['1234567+', 'SECRET_CHARACTERS'],
  ] as const)('refuses %j', (text, reason) => {
    expect(parsed(text, 'TEXT')).toEqual(refuse(reason));
    expect(parsed(text, 'HEX')).toEqual(refuse(reason));
  });

  it.each(['0123abcde', '0123abcg', '0123ab_-'])('refuses %s as hex', (text) => {
    expect(parsed(text, 'HEX')).toEqual(refuse('SECRET_NOT_HEX'));
    expect(parsed(text, 'TEXT')).toBe(text);
  });

  it('never throws, and takes only what it keeps as it is', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 40 }), fc.constantFrom('TEXT' as const, 'HEX' as const), (text, format) => {
        const secret = parseSecret(text, format);
        expect(isRefusal(secret) || /^[A-Za-z0-9_-]{8,32}$/.test(secret.reveal())).toBe(true);
      }),
    );
  });
});

describe('generateSecret', () => {
  it('writes all the random bytes down', () => {
    const ones = (size: number) => new Uint8Array(size).fill(0xff);
    expect(generateSecret(ones, 'TEXT').reveal()).toBe('_'.repeat(32));
    expect(generateSecret(ones, 'HEX').reveal()).toBe('f'.repeat(32));
  });

  it.each(['TEXT', 'HEX'] as const)('makes a %s secret that parses, another one each time', (format) => {
    const made = Array.from({ length: 100 }, () => generateSecret(systemRandom, format).reveal());
    expect(made.map((text) => parsed(text, format))).toEqual(made);
    expect(new Set(made).size).toBe(100);
  });

  it('does not take a generator that gives too little', () => {
    expect(() => generateSecret(() => new Uint8Array(8), 'TEXT')).toThrow(
      new RangeError('the generator gave a wrong number of bytes'),
    );
  });
});
