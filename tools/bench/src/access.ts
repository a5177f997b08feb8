import { seededUniform, zipfIndexes } from './zipf.ts';

/** A prime above any number of devices: multiplying by it visits every index once. */
const SCATTER_PRIME = 2_654_435_761;

/** What the cache holds for each device that it never lets go of: in a tenth of it the rarest of them is asked about soon enough. */
const RECORDS_PER_HOT = 10;

/** Of so many questions one is about a device that is not in the cache. */
const COLD_EVERY = 10;

const SEED = 3;

/** Which devices ask: a few far more often than the others, or all alike. */
export const ACCESSES = ['Zipf', 'uniform'] as const;

/** Which devices ask. */
export type Access = (typeof ACCESSES)[number];

/** Indexes of devices that ask one after the other. */
export function drawn(access: Access, samples: number, devices: number): Uint32Array {
  const uniform = seededUniform(SEED);
  if (access === 'Zipf') return zipfIndexes(samples, devices, uniform);
  return Uint32Array.from({ length: samples }, () => Math.floor(uniform() * devices));
}

/** Devices that ask. */
export type EqualHits = {
  /** Fills the cache as it will be. */
  readonly prime: () => readonly number[];
  /** Those that ask next. */
  readonly next: (samples: number) => Uint32Array;
};

/**
 * Devices that ask so that nine questions of ten hit a cache of `cached` records, whatever the fleet: they come by Zipf's
 * law from a tenth as many devices, of which the cache lets none go, and each tenth one from the next of all the others in
 * turn, which has always left it by then. The fleet must be of twice as many as the cache holds.
 */
export function withEqualHits(cached: number, devices: number): EqualHits {
  const hot = Math.max(1, Math.floor(cached / RECORDS_PER_HOT));
  const others = devices - hot;
  const uniform = seededUniform(SEED);
  let turn = 0;
  const other = () => hot + ((turn++ * SCATTER_PRIME) % others);
  return {
    prime: () => [...Array.from({ length: cached }, other), ...Array.from({ length: hot }, (_, index) => index)],
    next: (samples) => zipfIndexes(samples, hot, uniform).map((index, at) => (at % COLD_EVERY === 0 ? other() : index)),
  };
}
