import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isLeft, spendOne } from './allowance.ts';

/** The bucket as one would write it down: a level that rises with time. */
class Bucket {
  #level: number;
  #atMs = 0;
  readonly #burst: number;
  readonly #intervalMs: number;
  constructor(burst: number, intervalMs: number) {
    this.#level = burst;
    this.#burst = burst;
    this.#intervalMs = intervalMs;
  }
  pass(nowMs: number): number {
    this.#level = Math.min(this.#burst, this.#level + (nowMs - this.#atMs) / this.#intervalMs);
    this.#atMs = nowMs;
    return this.#level;
  }
  spend(nowMs: number): void {
    this.#level = Math.max(0, this.pass(nowMs) - 1);
  }
}

test('an allowance is a token bucket', () => {
  const step = fc.record({ afterMs: fc.oneof(fc.constant(0), fc.nat(500)), spends: fc.boolean() });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.constantFrom(1, 64, 128),
      fc.array(step, { maxLength: 60 }),
      (burst, intervalMs, steps) => {
        // Powers of two, so that the model's fractions are exact.
        const model = new Bucket(burst, intervalMs);
        const allowance = { burst, intervalMs };
        let [nowMs, wholeAtMs] = [0, 0];
        for (const { afterMs, spends } of steps) {
          nowMs += afterMs;
          expect(isLeft(wholeAtMs, nowMs, allowance)).toBe(model.pass(nowMs) >= 1);
          if (!spends) continue;
          wholeAtMs = spendOne(wholeAtMs, nowMs, allowance);
          model.spend(nowMs);
        }
      },
    ),
  );
});
