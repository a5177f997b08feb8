import type { Readable } from 'node:stream';

/** What came of reading a body. */
export type Body =
  | { readonly outcome: 'READ'; readonly bytes: Buffer }
  | { readonly outcome: 'TOO_LONG' | 'TOO_SLOW' | 'BUSY' | 'GONE' };

/** Memory that the bodies of all open requests share. */
export class BodyMemory {
  #freeBytes: number;

  constructor(bytes: number) {
    this.#freeBytes = bytes;
  }

  /** Takes some; false: there is not as much left. */
  take(bytes: number): boolean {
    if (bytes > this.#freeBytes) return false;
    this.#freeBytes -= bytes;
    return true;
  }

  /** Gives back what was taken. */
  release(bytes: number): void {
    this.#freeBytes += bytes;
  }
}

/** What bounds a body. */
export type BodyLimits = {
  readonly maxBytes: number;
  readonly deadlineMs: number;
  /** Ends the reading, with `GONE`. */
  readonly signal: AbortSignal;
  readonly memory: BodyMemory;
};

/**
 * Reads a body to its end within these limits, and keeps nothing of one that breaks them. What was read is taken from the
 * memory; whoever has it gives it back.
 */
export function readBody(request: Readable, limits: BodyLimits): Promise<Body> {
  const { maxBytes, deadlineMs, signal, memory } = limits;
  const chunks: Buffer[] = [];
  let taken = 0;
  return new Promise((resolve) => {
    const end = (body: Body) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', gone);
      request.off('data', take).off('end', ended).off('error', gone).off('close', gone);
      // The rest of one that was given up is thrown away as it comes, and it may still fail.
      request.on('error', () => undefined);
      if (body.outcome !== 'READ') memory.release(taken);
      resolve(body);
    };
    const gone = () => end({ outcome: 'GONE' });
    const ended = () => end({ outcome: 'READ', bytes: Buffer.concat(chunks, taken) });
    const take = (chunk: Buffer) => {
      if (taken + chunk.length > maxBytes) return end({ outcome: 'TOO_LONG' });
      if (!memory.take(chunk.length)) return end({ outcome: 'BUSY' });
      taken += chunk.length;
      chunks.push(chunk);
    };
    const timer = setTimeout(() => end({ outcome: 'TOO_SLOW' }), deadlineMs);
    if (signal.aborted || request.destroyed) return gone();
    signal.addEventListener('abort', gone, { once: true });
    request.on('data', take).on('end', ended).on('error', gone).on('close', gone);
  });
}
