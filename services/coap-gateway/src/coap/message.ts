import { EMPTY, familyOf } from './codes.ts';

/** How a message is to be treated: confirmable, non-confirmable, acknowledgement, reset (RFC 7252 3). */
export type MessageType = 'CON' | 'NON' | 'ACK' | 'RST';

/** One option of a message. */
export type Option = { readonly number: number; readonly value: Buffer };

/** A message of RFC 7252. */
export type Message = {
  readonly type: MessageType;
  readonly code: number;
  /** 0 to 65535. */
  readonly id: number;
  /** 0 to 8 bytes. */
  readonly token: Buffer;
  /** In the order of their numbers. */
  readonly options: readonly Option[];
  readonly payload: Buffer;
};

/** What a datagram is: a message, one that is malformed behind its header, or nothing of this version. */
export type Decoded =
  | { readonly kind: 'MESSAGE'; readonly message: Message }
  | { readonly kind: 'MALFORMED'; readonly type: MessageType; readonly id: number }
  | { readonly kind: 'NOTHING' };

const TYPES = ['CON', 'NON', 'ACK', 'RST'] as const;
const VERSION = 1;
const HEADER_BYTES = 4;
const MAX_TOKEN_BYTES = 8;
const PAYLOAD_MARKER = 0xff;

/** A request names some ten; the bound keeps a datagram of empty options from becoming a long list. */
const MAX_OPTIONS = 64;

const NO_BYTES = Buffer.alloc(0);
const NOTHING: Decoded = { kind: 'NOTHING' };

/** Reads a datagram strictly (RFC 7252 3, 4.2, 4.3). Never throws. */
export function decodeMessage(datagram: Buffer): Decoded {
  if (datagram.length < HEADER_BYTES) return NOTHING;
  const first = datagram.readUInt8(0);
  const type = TYPES[(first >> 4) & 3];
  if (first >> 6 !== VERSION || type === undefined) return NOTHING;
  const id = datagram.readUInt16BE(2);
  const message = readBody(datagram, { type, id, code: datagram.readUInt8(1), tokenBytes: first & 15 });
  return message === undefined ? { kind: 'MALFORMED', type, id } : { kind: 'MESSAGE', message };
}

type Header = {
  readonly type: MessageType;
  readonly id: number;
  readonly code: number;
  readonly tokenBytes: number;
};

function readBody(datagram: Buffer, { type, id, code, tokenBytes }: Header): Message | undefined {
  const start = HEADER_BYTES + tokenBytes;
  if (tokenBytes > MAX_TOKEN_BYTES || start > datagram.length || !isKnownFamily(code)) return undefined;
  if (code === EMPTY && datagram.length > HEADER_BYTES) return undefined;
  const token = datagram.subarray(HEADER_BYTES, start);
  const options: Option[] = [];
  let at = start;
  let number = 0;
  while (at < datagram.length && datagram[at] !== PAYLOAD_MARKER) {
    const read = readOption(datagram, at, number);
    if (read === undefined || options.length >= MAX_OPTIONS) return undefined;
    number = read.option.number;
    options.push(read.option);
    at = read.end;
  }
  if (at === datagram.length) return { type, code, id, token, options, payload: NO_BYTES };
  // A marker with nothing behind it is a format error (RFC 7252 3).
  if (at + 1 === datagram.length) return undefined;
  return { type, code, id, token, options, payload: datagram.subarray(at + 1) };
}

/** 1, 6 and 7 are reserved (RFC 7252 4.2, 4.3). */
function isKnownFamily(code: number): boolean {
  return [0, 2, 3, 4, 5].includes(familyOf(code));
}

function readOption(
  datagram: Buffer,
  at: number,
  previous: number,
): { readonly option: Option; readonly end: number } | undefined {
  const first = datagram.readUInt8(at);
  const delta = readExtended(datagram, at + 1, first >> 4);
  const length = delta && readExtended(datagram, delta.end, first & 15);
  if (delta === undefined || length === undefined) return undefined;
  const end = length.end + length.value;
  const number = previous + delta.value;
  if (end > datagram.length || number > 0xffff) return undefined;
  return { option: { number, value: datagram.subarray(length.end, end) }, end };
}

/** A delta or a length of 4 bits, or of 8 or 16 more (RFC 7252 3.1); 15 is reserved. */
function readExtended(
  datagram: Buffer,
  at: number,
  nibble: number,
): { readonly value: number; readonly end: number } | undefined {
  if (nibble < 13) return { value: nibble, end: at };
  if (nibble === 13 && at < datagram.length) return { value: datagram.readUInt8(at) + 13, end: at + 1 };
  if (nibble === 14 && at + 1 < datagram.length) return { value: datagram.readUInt16BE(at) + 269, end: at + 2 };
  return undefined;
}

/** The bytes of a message; its options may come in any order. Throws a RangeError on a token of more than 8 bytes. */
export function encodeMessage({ type, code, id, token, options, payload }: Message): Buffer {
  if (token.length > MAX_TOKEN_BYTES) throw new RangeError('a token has at most 8 bytes');
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8((VERSION << 6) | (TYPES.indexOf(type) << 4) | token.length, 0);
  header.writeUInt8(code, 1);
  header.writeUInt16BE(id, 2);
  const parts: Buffer[] = [header, token];
  let previous = 0;
  for (const { number, value } of options.toSorted((one, other) => one.number - other.number)) {
    const [delta, deltaMore] = writeExtended(number - previous);
    const [length, lengthMore] = writeExtended(value.length);
    parts.push(Buffer.from([(delta << 4) | length]), deltaMore, lengthMore, value);
    previous = number;
  }
  if (payload.length > 0) parts.push(Buffer.from([PAYLOAD_MARKER]), payload);
  return Buffer.concat(parts);
}

function writeExtended(value: number): readonly [nibble: number, more: Buffer] {
  if (value < 13) return [value, NO_BYTES];
  if (value < 269) return [13, Buffer.from([value - 13])];
  const more = Buffer.alloc(2);
  more.writeUInt16BE(value - 269);
  return [14, more];
}

/** A message without code, token, options and payload: an empty acknowledgement or a reset. */
export function emptyMessage(type: 'ACK' | 'RST', id: number): Buffer {
  return encodeMessage({ type, code: EMPTY, id, token: NO_BYTES, options: [], payload: NO_BYTES });
}
