import { DecodeError, Reader, uint } from './bytes.ts';

/** A part of a handshake message with its header (RFC 6347 4.2.2). */
export type Fragment = {
  readonly type: number;
  /** Of the whole message's body, in bytes. */
  readonly length: number;
  readonly messageSequence: number;
  readonly offset: number;
  readonly bytes: Buffer;
};

/** A whole handshake message. */
export type Message = { readonly type: number; readonly messageSequence: number; readonly body: Buffer };

/** Bytes of a handshake header. */
export const HANDSHAKE_HEADER_BYTES = 12;

/** The fragments in a handshake record. Throws a DecodeError when one is cut off or goes past its message. */
export function readFragments(body: Buffer): Fragment[] {
  const reader = new Reader(body);
  const fragments: Fragment[] = [];
  while (reader.left > 0) fragments.push(readFragment(reader));
  return fragments;
}

function readFragment(reader: Reader): Fragment {
  const type = reader.number(1);
  const length = reader.number(3);
  const messageSequence = reader.number(2);
  const offset = reader.number(3);
  const bytes = reader.vector(3);
  if (offset + bytes.length > length) throw new DecodeError('a fragment goes past its message');
  return { type, length, messageSequence, offset, bytes };
}

/** A fragment's bytes. */
export function writeFragment({ type, length, messageSequence, offset, bytes }: Fragment): Buffer {
  const header = [uint(1, type), uint(3, length), uint(2, messageSequence), uint(3, offset), uint(3, bytes.length)];
  return Buffer.concat([...header, bytes]);
}

/** A message in one fragment: the form that is hashed, however it travelled (RFC 6347 4.2.6). */
export function writeMessage({ type, messageSequence, body }: Message): Buffer {
  return writeFragment({ type, length: body.length, messageSequence, offset: 0, bytes: body });
}

/** A message cut into fragments whose bodies have at most `maxBytes`. */
export function splitMessage({ type, messageSequence, body }: Message, maxBytes: number): Buffer[] {
  const count = Math.max(1, Math.ceil(body.length / maxBytes));
  return Array.from({ length: count }, (_, index) => {
    const offset = index * maxBytes;
    const bytes = body.subarray(offset, offset + maxBytes);
    return writeFragment({ type, length: body.length, messageSequence, offset, bytes });
  });
}
