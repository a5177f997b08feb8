import { inspect } from 'node:util';
import { systemRandom } from '@latchkey/kernel';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  checkValue,
  generateKeyLine,
  KeyringError,
  keyReference,
  MAX_KEYS,
  open,
  parseKeyring,
  SEAL_BYTES,
  SealingError,
  seal,
} from './keyring.ts';

const bytes = (fill: number) => Buffer.alloc(32, fill).toString('base64');
const ONE = parseKeyring(`k1:${bytes(1)}`);
const plain = Buffer.from('a secret');
const aad = Buffer.from('bound');

describe('parseKeyring', () => {
  test('the first line seals; blank lines, comments and carriage returns are skipped', () => {
    const keyring = parseKeyring(`# keys\r\n\r\n  new-1:${bytes(1)}\r\nold:${bytes(2)}\n`);
    expect(keyring.current.id).toBe('new-1');
    expect([...keyring.byId.keys()]).toEqual(['new-1', 'old']);
    expect(keyring.byReference.get(keyring.current.reference)).toBe(keyring.current);
  });

  test.each([
    ['nothing', '# none\n', 'no key'],
    ['no colon', `\n${bytes(1)}`, 'line 2: a key is written ID:BASE64'],
    ['a bad id', `K1:${bytes(1)}`, 'line 1: a key id is 1 to 16'],
    ['a long id', `${'k'.repeat(17)}:${bytes(1)}`, 'line 1: a key id is 1 to 16'],
    ['a short key', `k1:${Buffer.alloc(31).toString('base64')}`, 'line 1: key "k1" is not 32 bytes'],
    ['a long key', `k1:${Buffer.alloc(33).toString('base64')}`, 'line 1: key "k1" is not 32 bytes'],
    ['other letters', `k1:${'*'.repeat(43)}=`, 'line 1: key "k1" is not 32 bytes'],
    ['an id twice', `k1:${bytes(1)}\n\nk1:${bytes(2)}`, 'line 3: key id "k1" is used before'],
    ['a key twice', `k1:${bytes(1)}\nk2:${bytes(1)}`, 'line 2: key "k2" is the same as key "k1"'],
    [
      'too many',
      Array.from({ length: MAX_KEYS + 1 }, (_, n) => `k${n}:${bytes(n)}`).join('\n'),
      'line 17: more than 16',
    ],
  ])('refuses %s, with the line and without the key', (_, text, message) => {
    expect(() => parseKeyring(text)).toThrow(KeyringError);
    expect(() => parseKeyring(text)).toThrow(message);
    expect(() => parseKeyring(text)).not.toThrow(/AQEB|AAAA|\*\*/);
  });

  test('a generated line is a keyring, new each time', () => {
    const [first, second] = [generateKeyLine('k1', systemRandom), generateKeyLine('k1', systemRandom)];
    expect(parseKeyring(first).current.id).toBe('k1');
    expect(first).not.toBe(second);
    expect(() => generateKeyLine('K', systemRandom)).toThrow(KeyringError);
  });

  test('a keyring does not print its keys', () => {
    const printed = inspect(ONE, { depth: 9, showHidden: true }) + JSON.stringify(ONE.current);
    expect(printed).not.toContain('0101');
    expect(printed).not.toContain('01 01');
    expect(printed).not.toContain(bytes(1));
  });
});

describe('checkValue', () => {
  test('tells keys apart, not ids, and stays as it is for ever', () => {
    // HMAC-SHA256 with 32 bytes of 01 over "latchkey key check", by `openssl dgst -mac HMAC`.
    expect(checkValue(ONE.current)).toBe('ef92c84aa4ba71d8');
    expect(checkValue(parseKeyring(`k2:${bytes(1)}`).current)).toBe(checkValue(ONE.current));
    expect(checkValue(parseKeyring(`k1:${bytes(2)}`).current)).not.toBe(checkValue(ONE.current));
  });
});

describe('seal and open', () => {
  test('what was sealed is opened, also after another key has become current', () => {
    const rotated = parseKeyring(`k2:${bytes(2)}\nk1:${bytes(1)}`);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.uint8Array({ maxLength: 50 }), (content, bound) => {
        const sealed = seal(ONE, content, bound, systemRandom);
        expect(sealed).toHaveLength(content.length + SEAL_BYTES);
        expect(keyReference(sealed)).toBe(ONE.current.reference);
        expect([...open(rotated, sealed, bound, 'it')]).toEqual([...content]);
      }),
    );
  });

  test('any other bit, in what is sealed or bound, opens nothing', () => {
    const sealed = seal(ONE, plain, aad, systemRandom);
    const flip = (from: Uint8Array, bit: number) =>
      Buffer.from(from.with(bit >> 3, (from[bit >> 3] ?? 0) ^ (1 << (bit & 7))));
    for (let bit = 0; bit < sealed.length * 8; bit += 1) {
      expect(() => open(ONE, flip(sealed, bit), aad, 'it')).toThrow(SealingError);
    }
    for (let bit = 0; bit < aad.length * 8; bit += 1) {
      expect(() => open(ONE, sealed, flip(aad, bit), 'it')).toThrow(SealingError);
    }
    for (let size = 0; size < sealed.length; size += 1) {
      expect(() => open(ONE, sealed.subarray(0, size), aad, 'it')).toThrow(SealingError);
    }
  });

  test('the same content is sealed differently each time', () => {
    const sealed = Array.from({ length: 100 }, () => seal(ONE, plain, aad, systemRandom).toString('hex'));
    expect(new Set(sealed).size).toBe(100);
  });

  test('an error says what could not be opened and what to do', () => {
    const sealed = seal(ONE, plain, aad, systemRandom);
    const other = parseKeyring(`k2:${bytes(2)}`);
    expect(() => open(other, sealed, aad, 'the record of device d')).toThrow(
      `the record of device d is sealed under key reference ${ONE.current.reference}, which the keyring lacks: add the key`,
    );
    sealed[sealed.length - 1] = (sealed.at(-1) ?? 0) ^ 1;
    expect(() => open(ONE, sealed, aad, 'the record of device d')).toThrow(
      'the record of device d was altered, or moved from elsewhere: key "k1" does not open it',
    );
  });
});
