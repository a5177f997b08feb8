import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ReplayWindow } from './replay-window.ts';

/** All numbers seen, and the rule of RFC 6347 4.1.2.6 read off them. */
function model(seen: ReadonlySet<number>, sequence: number): boolean {
  const newest = Math.max(-1, ...seen);
  return sequence > newest || (newest - sequence < 64 && !seen.has(sequence));
}

test('it tells new numbers from seen ones as a list of all would', () => {
  const step = fc.oneof(fc.integer({ min: -70, max: 70 }), fc.integer({ min: 0, max: 2 ** 40 }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const window = new ReplayWindow();
      const seen = new Set<number>();
      let at = 100;
      for (const move of steps) {
        at = Math.max(0, at + move);
        expect(window.isNew(at)).toBe(model(seen, at));
        expect(window.isNewest(at)).toBe(at > Math.max(-1, ...seen));
        window.mark(at);
        seen.add(at);
        expect(window.isNew(at)).toBe(false);
      }
    }),
    { seed: 6347, numRuns: 500 },
  );
});

test('the edge of the window', () => {
  const window = new ReplayWindow();
  window.mark(100);
  expect(window.isNew(37)).toBe(true);
  expect(window.isNew(36)).toBe(false);
  window.mark(2 ** 48 - 1);
  expect(window.isNew(100)).toBe(false);
  expect(window.isNew(2 ** 48 - 64)).toBe(true);
});
