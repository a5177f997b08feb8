import type { Readable } from 'node:stream';

/** Characters of a line; more is cut off, so that a service that never ends its line costs no memory. */
export const LINE_MAX_CHARACTERS = 65_536;

/** Calls `onLine` with every line of a stream of UTF-8, without its end; empty lines are left out. */
export function eachLine(stream: Readable, onLine: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    const cut = cutLines(rest + chunk);
    rest = cut.rest;
    for (const line of cut.lines) onLine(line);
  });
  stream.on('end', () => {
    for (const line of cutLines(`${rest}\n`).lines) onLine(line);
  });
}

/** The lines of a text that have something on them, and the beginning of a line that has no end yet. */
export function cutLines(text: string): { readonly lines: readonly string[]; readonly rest: string } {
  const parts = text.split('\n').map((line) => line.slice(0, LINE_MAX_CHARACTERS));
  const rest = parts.pop() ?? '';
  return { lines: parts.filter((line) => line.trim() !== ''), rest };
}
