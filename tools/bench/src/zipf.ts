/** A prime above any number of devices: multiplying by it visits every index once. */
const SCATTER_PRIME = 2_654_435_761;

/** Gives numbers from 0 to below 1. */
export type Uniform = () => number;

/** The same numbers in every run, so that two runs measure the same work (mulberry32). */
export function seededUniform(seed: number): Uniform {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/**
 * `samples` indexes below `size` by Zipf's law with exponent 1: the device of rank r comes up 1/r as often as the first.
 * Ranks are scattered over the indexes, so that popular devices do not lie side by side in memory.
 */
export function zipfIndexes(samples: number, size: number, uniform: Uniform): Uint32Array {
  const sums = new Float64Array(size);
  let sum = 0;
  for (let rank = 0; rank < size; rank++) {
    sum += 1 / (rank + 1);
    sums[rank] = sum;
  }
  return Uint32Array.from({ length: samples }, () => (rankAt(sums, uniform() * sum) * SCATTER_PRIME) % size);
}

/** The first rank whose sum exceeds `point`. */
function rankAt(sums: Float64Array, point: number): number {
  let [low, high] = [0, sums.length - 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sums[middle] ?? 0) > point) high = middle;
    else low = middle + 1;
  }
  return low;
}
