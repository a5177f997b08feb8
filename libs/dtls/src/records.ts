import { DecodeError, Reader, tryDecode, uint, vector } from './bytes.ts';
import { CONTENT, DTLS_1_0, DTLS_1_2 } from './codes.ts';

/** What stands before a record's fragment (RFC 6347 4.1); the connection id only in tls12_cid records (RFC 9146 4). */
export type RecordHeader = {
  readonly type: number;
  readonly version: number;
  readonly epoch: number;
  /** 48 bits. */
  readonly sequence: number;
  readonly connectionId: Buffer;
};

/** A record as it travels; from epoch 1 on the fragment is sealed. */
export type WireRecord = RecordHeader & { readonly fragment: Buffer };

/** Bytes of a header without connection id. */
export const HEADER_BYTES = 13;

/** No flight of a client comes near it; a datagram full of tiny records costs no more than so many. */
const MAX_RECORDS_PER_DATAGRAM = 32;

/** 2^14 of plaintext and 2048 of expansion (RFC 5246 6.2.3). */
const MAX_FRAGMENT_BYTES = 2 ** 14 + 2048;

const SEQUENCE_PLACEHOLDER = Buffer.alloc(8, 0xff);

/**
 * The records of a datagram, whose ids for this side have `connectionIdBytes` bytes. What is malformed ends the walk
 * in silence (RFC 6347 4.1.2.7).
 */
export function* readRecords(datagram: Buffer, connectionIdBytes: number): Generator<WireRecord> {
  const reader = new Reader(datagram);
  for (let count = 0; count < MAX_RECORDS_PER_DATAGRAM && reader.left >= HEADER_BYTES; count++) {
    const record = tryDecode(() => readRecord(reader, connectionIdBytes));
    if (record === undefined) return;
    yield record;
  }
}

function readRecord(reader: Reader, connectionIdBytes: number): WireRecord {
  const type = reader.number(1);
  const version = reader.number(2);
  if (version !== DTLS_1_2 && version !== DTLS_1_0) throw new DecodeError('another version');
  const epoch = reader.number(2);
  const sequence = reader.number(6);
  const connectionId = reader.bytes(type === CONTENT.TLS12_CID ? connectionIdBytes : 0);
  const fragment = reader.vector(2);
  if (fragment.length > MAX_FRAGMENT_BYTES) throw new DecodeError('the fragment is too long');
  return { type, version, epoch, sequence, connectionId, fragment };
}

/** A record's bytes. */
export function writeRecord({ type, version, epoch, sequence, connectionId, fragment }: WireRecord): Buffer {
  const numbers = [uint(1, type), uint(2, version), epochAndSequence({ epoch, sequence })];
  return Buffer.concat([...numbers, connectionId, vector(2, fragment)]);
}

/** The 64 bits that number a record (RFC 6347 4.1.2.1). */
export function epochAndSequence({ epoch, sequence }: Pick<RecordHeader, 'epoch' | 'sequence'>): Buffer {
  return Buffer.concat([uint(2, epoch), uint(6, sequence)]);
}

/** What is authenticated beside the plaintext of `length` bytes: RFC 5246 6.2.3.3, with connection id RFC 9146 5. */
export function additionalData(header: RecordHeader, length: number): Buffer {
  const { type, version, connectionId } = header;
  if (type !== CONTENT.TLS12_CID) {
    return Buffer.concat([epochAndSequence(header), uint(1, type), uint(2, version), uint(2, length)]);
  }
  const inner = [uint(1, type), uint(1, connectionId.length), uint(1, type), uint(2, version)];
  return Buffer.concat([SEQUENCE_PLACEHOLDER, ...inner, epochAndSequence(header), connectionId, uint(2, length)]);
}
