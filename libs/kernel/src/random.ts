import { randomBytes } from 'node:crypto';

/** Gives `size` unpredictable bytes. */
export type Random = (size: number) => Uint8Array;

/** The operating system's generator. */
export const systemRandom: Random = (size) => randomBytes(size);
