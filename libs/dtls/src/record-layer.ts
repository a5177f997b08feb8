import { DecodeError } from './bytes.ts';
import { CONTENT, DTLS_1_2 } from './codes.ts';
import type { EpochKeys } from './protection.ts';
import { type RecordHeader, type WireRecord, writeRecord } from './records.ts';
import { ReplayWindow } from './replay-window.ts';

/** 0 is in clear, 1 is sealed; nobody renegotiates, so there is no other. */
export type Epoch = 0 | 1;

/** What a record holds once it is opened. */
export type Opened = {
  readonly type: number;
  readonly body: Buffer;
  /** Its number is the greatest so far: what may move a peer's address (RFC 9146 6). */
  readonly isNewest: boolean;
};

/** Connection ids as negotiated (RFC 9146 3): `incoming` stands in what the client sends; an empty one stands nowhere. */
export type ConnectionIds = { readonly incoming: Buffer; readonly outgoing: Buffer };

const NO_ID = Buffer.alloc(0);

/** Record numbers have 48 bits and may not wrap (RFC 6347 4.1). */
const MAX_SEQUENCE = 2 ** 48 - 1;

/** The records of one association: numbers, windows, epochs, protection. */
export class RecordLayer {
  readonly #ids: ConnectionIds | undefined;
  readonly #window = new ReplayWindow();
  readonly #sequences: [number, number];
  #keys: EpochKeys | undefined;
  #forgeries = 0;

  /** `firstSequence` is the number of the client's hello, with which the server goes on (RFC 6347 4.2.1). */
  constructor(firstSequence: number, ids?: ConnectionIds) {
    this.#sequences = [firstSequence, 0];
    this.#ids = ids;
  }

  /** How many records of epoch 1 were not authentic. */
  get forgeries(): number {
    return this.#forgeries;
  }

  /** Whether what the client seals must bear an id. */
  get expectsConnectionId(): boolean {
    return (this.#ids?.incoming.length ?? 0) > 0;
  }

  /** Gives the keys of epoch 1; others may follow until one has opened something. */
  useKeys(keys: EpochKeys): void {
    this.#keys = keys;
  }

  /** The bytes of the next record. Throws an Error when the epoch has no keys or no number left. */
  write(epoch: Epoch, type: number, body: Buffer): Buffer {
    const sequence = this.#sequences[epoch];
    if (sequence > MAX_SEQUENCE) throw new Error('the record numbers are used up');
    this.#sequences[epoch] = sequence + 1;
    const header: RecordHeader = { type, version: DTLS_1_2, epoch, sequence, connectionId: NO_ID };
    if (epoch === 0) return writeRecord({ ...header, fragment: body });
    if (this.#keys === undefined) throw new Error('there are no keys yet');
    const connectionId = this.#ids?.outgoing ?? NO_ID;
    if (connectionId.length === 0) return writeRecord({ ...header, fragment: this.#keys.write.seal(header, body) });
    const inner = Buffer.concat([body, Buffer.from([type])]);
    const outer = { ...header, type: CONTENT.TLS12_CID, connectionId };
    return writeRecord({ ...outer, fragment: this.#keys.write.seal(outer, inner) });
  }

  /**
   * What a record of epoch 1 holds; undefined when it came before or is not authentic. Throws a DecodeError on an
   * authentic record without a content type. Epoch 0 has no window: anybody could move it, and a message of the
   * handshake that comes twice does no harm.
   */
  open(record: WireRecord): Opened | undefined {
    if (record.epoch !== 1 || !this.#window.isNew(record.sequence)) return undefined;
    const body = this.#hasRightId(record) ? this.#keys?.read.open(record) : undefined;
    if (body === undefined) {
      this.#forgeries += 1;
      return undefined;
    }
    const isNewest = this.#window.isNewest(record.sequence);
    this.#window.mark(record.sequence);
    return { ...(record.type === CONTENT.TLS12_CID ? unwrap(body) : { type: record.type, body }), isNewest };
  }

  /** Whether the record was sealed by this association's client, seen before or not. */
  isAuthentic(record: WireRecord): boolean {
    return record.epoch === 1 && this.#hasRightId(record) && this.#keys?.read.open(record) !== undefined;
  }

  /** Where an id was negotiated, all sealed records must carry it, and else none may carry any (RFC 9146 3). */
  #hasRightId({ connectionId }: WireRecord): boolean {
    return connectionId.equals(this.#ids?.incoming ?? NO_ID);
  }
}

/** The content, its type and any number of zeros (RFC 9146 4). */
function unwrap(inner: Buffer): { readonly type: number; readonly body: Buffer } {
  let end = inner.length - 1;
  while (end >= 0 && inner[end] === 0) end -= 1;
  if (end < 0) throw new DecodeError('a record without a content type');
  return { type: inner.readUInt8(end), body: inner.subarray(0, end) };
}
