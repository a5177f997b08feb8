/** A place in bytes, moved on by every `take`. */
export type Cursor = { readonly bytes: Buffer; at: number };

/** Fewer bytes than the layout asks for, or more. */
export class LayoutError extends Error {
  override readonly name = 'LayoutError';
}

/** The next `size` bytes, a view. Throws a LayoutError when they are not there. */
export function takeBytes(cursor: Cursor, size: number): Buffer {
  const end = cursor.at + size;
  if (end > cursor.bytes.length) throw new LayoutError('it is cut off');
  const bytes = cursor.bytes.subarray(cursor.at, end);
  cursor.at = end;
  return bytes;
}

/** The next unsigned big-endian number of `size` bytes, 1 to 6. */
export function takeUint(cursor: Cursor, size: number): number {
  return takeBytes(cursor, size).readUIntBE(0, size);
}

/** The next text: one byte of length, then ASCII. */
export function takeText(cursor: Cursor): string {
  return takeBytes(cursor, takeUint(cursor, 1)).toString('latin1');
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
