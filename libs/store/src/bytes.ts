/** A place in bytes, moved on by every `take`. */
export type Cursor = { readonly bytes: Buffer; at: number };

/** Fewer bytes than the layout asks for, or more. */
export class LayoutError extends Error {
  override readonly name = 'LayoutError';
}

function advance(cursor: Cursor, size: number): number {
  const start = cursor.at;
  if (start + size > cursor.bytes.length) throw new LayoutError('it is cut off');
  cursor.at = start + size;
  return start;
}

/** The next `size` bytes, a view. Throws a LayoutError when they are not there. */
export function takeBytes(cursor: Cursor, size: number): Buffer {
  const start = advance(cursor, size);
  return cursor.bytes.subarray(start, cursor.at);
}

/** The next unsigned big-endian number of `size` bytes. Exact up to 2^53 - 1; a greater one of 8 bytes is rounded, and never below 2^53. */
export function takeUint(cursor: Cursor, size: number): number {
  const { bytes } = cursor;
  let value = 0;
  for (let at = advance(cursor, size); at < cursor.at; at++) value = value * 256 + (bytes[at] ?? 0);
  return value;
}

/** The next `size` bytes, written as text. */
export function takeEncoded(cursor: Cursor, size: number, encoding: 'hex' | 'base64url'): string {
  const start = advance(cursor, size);
  return cursor.bytes.toString(encoding, start, cursor.at);
}

/** The next text: one byte of length, then ASCII. */
export function takeText(cursor: Cursor): string {
  const start = advance(cursor, takeUint(cursor, 1));
  return cursor.bytes.toString('latin1', start, cursor.at);
}

/** Throws a LayoutError when bytes are left. */
export function takeEnd(cursor: Cursor): void {
  if (cursor.at !== cursor.bytes.length) throw new LayoutError('bytes follow its end');
}

/** An unsigned big-endian number of `size` bytes, 1 to 6. Throws a LayoutError when it does not fit. */
export function uint(value: number, size: number): Buffer {
  if (!Number.isSafeInteger(value) || value < 0 || value >= 2 ** (8 * size)) {
    throw new LayoutError(`${value} is no number of ${size} bytes`);
  }
  const bytes = Buffer.alloc(size);
  bytes.writeUIntBE(value, 0, size);
  return bytes;
}

/** A text as one byte of length, then ASCII; at most 255 characters. */
export function text(value: string): Buffer {
  return Buffer.concat([uint(value.length, 1), Buffer.from(value, 'latin1')]);
}
