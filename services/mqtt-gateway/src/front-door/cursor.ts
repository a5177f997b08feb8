import { isUtf8 } from 'node:buffer';

/** Bytes of a variable byte integer [MQTT-1.5.5]. */
const MAX_VARIABLE_BYTES = 4;

/** The packet is not one that MQTT allows. */
export class Malformed extends Error {
  override readonly name = 'Malformed';
}

/** Reads a packet from front to back by MQTT's data types (MQTT 5, section 1.5). Throws Malformed where it cannot. */
export class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Bytes that were read. */
  get at(): number {
    return this.#at;
  }

  /** Whether all was read. */
  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** The next bytes, so many of them. */
  bytes(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new Malformed('it is too short');
    const read = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return read;
  }

  /** What was read since an earlier position. */
  since(start: number): Buffer {
    return this.#bytes.subarray(start, this.#at);
  }

  byte(): number {
    return this.bytes(1).readUInt8();
  }

  twoBytes(): number {
    return this.bytes(2).readUInt16BE();
  }

  /** A variable byte integer; in its shortest form, as MQTT 5 demands [MQTT-1.5.5-1] and 3.1.1 does not. */
  variable({ shortest = true } = {}): number {
    let value = 0;
    for (let index = 0; index < MAX_VARIABLE_BYTES; index++) {
      const byte = this.byte();
      value += (byte & 0x7f) * 128 ** index;
      if (shortest && byte === 0 && index > 0) throw new Malformed('a length has idle bytes');
      if (byte < 0x80) return value;
    }
    throw new Malformed('a length has no end');
  }

  /** Binary data behind its two bytes of length. */
  binary(): Buffer {
    return this.bytes(this.twoBytes());
  }

  /** A string: well-formed UTF-8 without U+0000 [MQTT-1.5.4-1, MQTT-1.5.4-2]. */
  text(): string {
    const bytes = this.binary();
    if (!isUtf8(bytes) || bytes.includes(0)) throw new Malformed('a string is no text');
    return bytes.toString('utf8');
  }
}

/** A variable byte integer. */
export function variableBytes(value: number): Buffer {
  const bytes: number[] = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    bytes.push(left >= 128 ? (left % 128) | 0x80 : left);
    if (left < 128) return Buffer.from(bytes);
  }
}

/** Data behind its two bytes of length: at most 65,535 bytes. */
export function lengthened(data: Uint8Array): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(data.length);
  return Buffer.concat([length, data]);
}
