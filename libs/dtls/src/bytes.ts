/** Bytes that are not what they should be. */
export class DecodeError extends Error {}

/** What `read` gives, or undefined when it throws a DecodeError. */
export function tryDecode<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** Reads big-endian numbers and vectors (RFC 5246 4); whatever goes past the end is a DecodeError. */
export class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** How many bytes are left. */
  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** An unsigned number of 1 to 6 bytes. */
  number(size: number): number {
    return this.bytes(size).readUIntBE(0, size);
  }

  /** The next bytes: a view, not a copy. */
  bytes(size: number): Buffer {
    if (size > this.left) throw new DecodeError(`${size} bytes wanted, ${this.left} left`);
    this.#at += size;
    return this.#bytes.subarray(this.#at - size, this.#at);
  }

  /** A vector whose length stands before it in `lengthSize` bytes. */
  vector(lengthSize: 1 | 2 | 3): Buffer {
    return this.bytes(this.number(lengthSize));
  }

  /** Throws a DecodeError when anything is left. */
  end(): void {
    if (this.left > 0) throw new DecodeError(`${this.left} bytes too many`);
  }
}

/** An unsigned number in `size` bytes, 1 to 6. */
export function uint(size: number, value: number): Buffer {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntBE(value, 0, size);
  return bytes;
}

/** A vector: its length in `lengthSize` bytes, then its parts. */
export function vector(lengthSize: 1 | 2 | 3, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([uint(lengthSize, body.length), body]);
}

/** The 16-bit numbers of a vector. Throws a DecodeError when half a number is left. */
export function uint16s(bytes: Buffer): number[] {
  const reader = new Reader(bytes);
  const numbers: number[] = [];
  while (reader.left > 0) numbers.push(reader.number(2));
  return numbers;
}
