import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { tokenize } from './tokens.ts';

const ROOT = join(import.meta.dirname, '../../..');
const PROTOS = ['authentication', 'credentials', 'devices', 'certificates'];
const HANDLERS = ['authentication', 'credentials', 'devices', 'certificates'];

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** All methods of the API. */
function declared(): string[] {
  return PROTOS.flatMap((file) =>
    [...read(`proto/latchkey/v1/${file}.proto`).matchAll(/^ {2}rpc (\w+)\(/gm)].map(([, name = '']) => name),
  );
}

/** Names that handlers are given in objects: `name:`, `name(` and `async name(`. */
function handled(): Set<string> {
  const names = HANDLERS.flatMap((file) => {
    const tokens = tokenize(read(`services/auth/src/${file}.ts`));
    return tokens.filter((_, at) => ['{', ',', 'async'].includes(tokens[at - 1]?.text ?? '')).map(({ text }) => text);
  });
  return new Set(names.map((name) => `${name.charAt(0).toUpperCase()}${name.slice(1)}`));
}

/** Methods in the second column of the table below the heading. */
function listed(): string[] {
  const section = read('ARCHITECTURE.md').split('## Not there yet')[1] ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  return rows.flatMap((row) => [...(row.split('|')[2] ?? '').matchAll(/`(\w+)`/g)].map(([, name = '']) => name));
}

it('ARCHITECTURE.md names exactly the methods that are not served', () => {
  const served = handled();
  const unserved = declared().filter((name) => !served.has(name));
  expect(declared()).toContain('Authenticate');
  expect(unserved).not.toContain('Authenticate');
  expect(listed().toSorted()).toEqual(unserved.toSorted());
});
