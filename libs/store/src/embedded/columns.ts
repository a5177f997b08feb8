import type { SQLOutputValue } from 'node:sqlite';

/** One row as node:sqlite gives it. */
export type Row = Record<string, SQLOutputValue>;

function wrong(name: string): TypeError {
  return new TypeError(`column ${name} holds another type`);
}

/** The text in a column. Throws a TypeError on anything else. */
export function textIn(row: Row, name: string): string {
  const value = row[name];
  if (typeof value !== 'string') throw wrong(name);
  return value;
}

/** The number in a column. Throws a TypeError on anything else. */
export function numberIn(row: Row, name: string): number {
  const value = row[name];
  if (typeof value !== 'number') throw wrong(name);
  return value;
}

/** The bytes in a column. Throws a TypeError on anything else. */
export function bytesIn(row: Row, name: string): Uint8Array {
  const value = row[name];
  if (!(value instanceof Uint8Array)) throw wrong(name);
  return value;
}
