import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { cutLines, eachLine, LINE_MAX_CHARACTERS } from './lines.ts';

async function linesOf(...chunks: readonly (string | Buffer)[]): Promise<string[]> {
  const stream = new PassThrough();
  const lines: string[] = [];
  eachLine(stream, (line) => lines.push(line));
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  await new Promise((resolve) => stream.on('close', resolve));
  return lines;
}

test('lines are cut at their ends, not where chunks end', async () => {
  expect(await linesOf('one\ntw', 'o\n\n  \nthree')).toEqual(['one', 'two', 'three']);
});

test('a character may be spread over chunks', async () => {
  const bytes = Buffer.from('é\n');
  expect(await linesOf(bytes.subarray(0, 1), bytes.subarray(1))).toEqual(['é']);
});

test('a line without an end is cut off', async () => {
  const long = 'x'.repeat(LINE_MAX_CHARACTERS);
  const lines = await linesOf(long, long, `${long}\nnext\n`);
  expect(lines.map((line) => line.length)).toEqual([LINE_MAX_CHARACTERS, 4]);
});

test('of a line without an end no more is kept than will be shown', () => {
  expect(cutLines('x'.repeat(LINE_MAX_CHARACTERS + 1))).toEqual({ lines: [], rest: 'x'.repeat(LINE_MAX_CHARACTERS) });
});
