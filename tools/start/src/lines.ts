import type { Readable } from 'node:stream';

/** Characters of a line; more is cut off, so that a service that never ends its line costs no memory. */
export const LINE_MAX_CHARACTERS = 65_536;

/** Calls `onLine` with every line of a stream of UTF-8, without its end; empty lines are left out. */
export function eachLine(stream: Readable, onLine: (line: string) => void): void {
  let rest = '';
  const take = (line: string) => {
    if (line.trim() !== '') onLine(line);
  };
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = (lines.pop() ?? '').slice(0, LINE_MAX_CHARACTERS);
    for (const line of lines) take(line.slice(0, LINE_MAX_CHARACTERS));
  });
  stream.on('end', () => take(rest));
}
