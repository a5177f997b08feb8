import { expect, test } from 'vitest';
import { answered } from './h2load.ts';

const line = (failed: number) =>
  `requests: 9 total, 12 started, 9 done, ${9 - failed} succeeded, ${failed} failed, 0 errored, 0 timeout\n`;

test('answers are counted, and one that failed is an error', () => {
  expect(answered(`finished in 3.00s, 3 req/s, 1B/s\n${line(0)}`)).toBe(9);
  expect(() => answered(line(1))).toThrow('did not get an answer to each call');
  expect(() => answered('nonsense')).toThrow('did not get an answer to each call');
});
