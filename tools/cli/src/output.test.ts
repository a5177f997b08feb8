import { DenyReason } from '@latchkey/protocol/v1';
import { expect, test } from 'vitest';
import { pairs, reasonWords } from './output.ts';

test('every reason has words of its own, and a newer one its number', () => {
  const reasons = Object.values(DenyReason).filter((value) => typeof value === 'number');
  expect(reasons).toHaveLength(18);
  const words = reasons.map(reasonWords);
  expect(new Set(words).size).toBe(18);
  expect(words.join()).not.toContain('number');
  expect(reasonWords(99 as DenyReason)).toBe('number 99');
});

test('named values stand in columns, empty ones are left out', () => {
  expect(
    pairs([
      ['a', '1'],
      ['none', ''],
      ['long', '2'],
    ]),
  ).toBe('a     1\nlong  2');
});
