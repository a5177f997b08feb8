import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestMatcher, digestOf, isFresh, parseTimestamp, secretMatcher } from './digest.ts';
import type { DigestProof, SignType } from './proof.ts';
import { NOW_MS } from './test-pki.ts';
import { DEFAULT_SETTINGS } from './verdict.ts';

const HOUR_MS = 3_600_000;
const WINDOW = DEFAULT_SETTINGS.timestampWindow;

function proof(signType: SignType, timestamp: string, password = ''): DigestProof {
  return { kind: 'DIGEST', signType, timestamp, password };
}

describe('digestOf: published and captured vectors', () => {
  it.each<[string, SignType, string, string]>([
    ['the vendor page', 0, '2025041401', 'c75150e6cb841417396819e4d2ee4358a416344a03a083e3a8567074ddec820a'],
    [
      'the vendor page, time checked',
      1,
      '2025041401',
      'c75150e6cb841417396819e4d2ee4358a416344a03a083e3a8567074ddec820a',
    ],
    ['SM3', 2, '2025041401', 'a110c9e1536980a2ca572e7d5b82542a20a04e144937385f224d587fa1d0e862'],
    ['three vendor SDKs', 1, '2026112308', '41a6636fc67e8d43821a6b5f14f184b7b83eede78441fb4fecea948e66093c35'],
    ['the C SDK, hour + 1', 0, '2026110111', 'e4b16a9961bbd98142cf0b6ac9213e7c29520cf092345c078a091dd3dd523386'],
    ['the C SDK, hour 24', 0, '2026110324', 'df4ca9ee97baa58c537b845e776175dea86d447730cb1d6ac89022ff1bc5882f'],
  ])('%s', (_name, signType, timestamp, password) => {
    expect(digestOf(signType, timestamp, '12345678')).toBe(password);
    expect(digestMatcher(proof(signType, timestamp, password))('12345678')).toBe(true);
  });

  it('refuses key and message in the wrong places', () => {
    const swapped = '75e7262705ff85203403e600f652133f9cac4e4d1400b44f3582e778a97f6c36';
    expect(digestOf(0, '12345678', '2025041401')).toBe(swapped);
    expect(digestMatcher(proof(0, '2025041401', swapped))('12345678')).toBe(false);
  });

  it('keeps SHA-256 and SM3 apart', () => {
    expect(digestMatcher(proof(2, '2026112308', digestOf(1, '2026112308', '12345678')))('12345678')).toBe(false);
    expect(digestMatcher(proof(1, '2026112308', digestOf(2, '2026112308', '12345678')))('12345678')).toBe(false);
  });
});

describe('digestMatcher', () => {
  const right = digestOf(0, '2026112308', '12345678');

  it.each([
    ['uppercase', right.toUpperCase()],
    ['nothing', ''],
    ['one character less', right.slice(1)],
    ['one character more', `${right}0`],
    ['a space after it', `${right} `],
    [
      'a character whose low byte is the right one',
      `${String.fromCharCode(right.charCodeAt(0) + 0x100)}${right.slice(1)}`,
    ],
    ['a lone surrogate', `\ud800${right.slice(3)}`],
  ])('refuses %s', (_name, password) => {
    expect(digestMatcher(proof(0, '2026112308', password))('12345678')).toBe(false);
  });

  it.each(['', '202611230', '20261123080', 'YYYYMMDDHH', '2026112308\n', ' 026112308'])(
    'refuses the right HMAC under %j, which is not ten digits',
    (timestamp) => {
      expect(digestMatcher(proof(0, timestamp, digestOf(0, timestamp, '12345678')))('12345678')).toBe(false);
    },
  );

  it('takes any ten digits as the key of sign type 0', () => {
    expect(digestMatcher(proof(0, '9999999999', digestOf(0, '9999999999', '12345678')))('12345678')).toBe(true);
  });

  it('matches one secret only', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (one, other) => {
        const matches = digestMatcher(proof(0, '2026112308', digestOf(0, '2026112308', one)));
        expect(matches(one)).toBe(true);
        expect(matches(`${one}${other}x`)).toBe(false);
      }),
    );
  });
});

describe('secretMatcher', () => {
  it('matches the same text only', () => {
    expect(secretMatcher('12345678')('12345678')).toBe(true);
    expect(['', '1234567', '123456789', '12345678\0', '1234567８'].map(secretMatcher('12345678'))).toEqual(
      Array(5).fill(false),
    );
  });
});

describe('parseTimestamp', () => {
  it.each([
    ['2018072417', Date.UTC(2018, 6, 24, 17)],
    ['2026112300', Date.UTC(2026, 10, 23)],
    ['2024022923', Date.UTC(2024, 1, 29, 23)],
    ['2026110324', Date.UTC(2026, 10, 4)],
    ['2026123124', Date.UTC(2027, 0, 1)],
  ])('%s', (text, expected) => {
    expect(parseTimestamp(text)).toBe(expected);
  });

  it.each([
    ['month 13', '2026130108'],
    ['month 0', '2026000108'],
    ['day 0', '2026110008'],
    ['31 February', '2026023108'],
    ['29 February of a common year', '2026022908'],
    ['hour 25', '2026112325'],
    ['year 0', '0000010100'],
    ['letters', '2026112x08'],
    ['a sign', '-026112308'],
    ['nine digits', '202611230'],
    ['eleven digits', '20261123080'],
    ['digits of another script', '２０２６１１２３０８'],
    ['a line after it', '2026112308\n'],
  ])('refuses %s', (_name, text) => {
    expect(parseTimestamp(text)).toBeUndefined();
  });

  it('never throws, and reads back what a clock shows', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseTimestamp(text)));
    const from = Date.UTC(1000, 0, 1) / HOUR_MS;
    const to = Date.UTC(9999, 11, 31, 23) / HOUR_MS;
    fc.assert(
      fc.property(fc.integer({ min: from, max: to }), (hours) => {
        const text = new Date(hours * HOUR_MS).toISOString().slice(0, 13).replace(/[-T]/g, '');
        expect(parseTimestamp(text)).toBe(hours * HOUR_MS);
      }),
    );
  });
});

describe('isFresh', () => {
  const hourMs = Date.UTC(2026, 10, 23, 8);

  it.each<[string, SignType, number, boolean]>([
    ['a millisecond too early', 1, hourMs - HOUR_MS - 1, false],
    ['an hour early', 1, hourMs - HOUR_MS, true],
    ['on the hour', 1, hourMs, true],
    ['at the end of the hour after', 1, hourMs + 2 * HOUR_MS - 1, true],
    ['two hours late', 1, hourMs + 2 * HOUR_MS, false],
    ['two hours late, SM3', 2, hourMs + 2 * HOUR_MS, false],
    ['in time, SM3', 2, hourMs, true],
    ['years late, unchecked', 0, hourMs + 1e12, true],
  ])('%s', (_name, signType, nowMs, expected) => {
    expect(isFresh(proof(signType, '2026112308'), nowMs, WINDOW)).toBe(expected);
  });

  it('takes hour 24 for the next midnight', () => {
    const midnightMs = Date.UTC(2026, 10, 4);
    expect(isFresh(proof(1, '2026110324'), midnightMs - HOUR_MS, WINDOW)).toBe(true);
    expect(isFresh(proof(1, '2026110324'), midnightMs - HOUR_MS - 1, WINDOW)).toBe(false);
    expect(isFresh(proof(1, '2026110324'), midnightMs + 2 * HOUR_MS - 1, WINDOW)).toBe(true);
  });

  it.each(['2026130108', '2026023108', '2026112325', 'x'])('%s is no hour to be fresh in', (timestamp) => {
    expect(isFresh(proof(1, timestamp), NOW_MS, WINDOW)).toBe(false);
    expect(isFresh(proof(0, timestamp), NOW_MS, WINDOW)).toBe(true);
  });

  it('takes the window from the settings', () => {
    const narrow = { beforeMs: 0, afterMs: 1 };
    expect([hourMs - 1, hourMs, hourMs + 1].map((nowMs) => isFresh(proof(1, '2026112308'), nowMs, narrow))).toEqual([
      false,
      true,
      false,
    ]);
  });
});
