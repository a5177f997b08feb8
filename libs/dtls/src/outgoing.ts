import { CONTENT } from './codes.ts';
import { HANDSHAKE_HEADER_BYTES, type Message, splitMessage } from './fragments.ts';
import type { Epoch, RecordLayer } from './record-layer.ts';
import { HEADER_BYTES } from './records.ts';

/** A message that has no number yet. */
export type Draft = { readonly type: number; readonly body: Buffer };

type Item = { readonly epoch: Epoch; readonly message: Message } | 'CHANGE_CIPHER_SPEC';

/** How large datagrams and records may be. */
export type Sizes = { readonly payloadBytes: number; readonly maxFragmentBytes: number };

const CHANGE_CIPHER_SPEC = Buffer.from([1]);

/** One flight after the other: numbers its messages, and writes it as often as it is sent (RFC 6347 4.2.4). */
export class Outgoing {
  readonly #records: RecordLayer;
  readonly #sizes: Sizes;
  #nextSequence: number;
  #items: Item[] = [];

  constructor(records: RecordLayer, sizes: Sizes, firstSequence: number) {
    this.#records = records;
    this.#sizes = sizes;
    this.#nextSequence = firstSequence;
  }

  /** Appends a message to the flight; it is returned with its number. */
  add(epoch: Epoch, { type, body }: Draft): Message {
    const message = { type, messageSequence: this.#nextSequence, body };
    this.#nextSequence += 1;
    this.#items.push({ epoch, message });
    return message;
  }

  /** Begins the last flight: all that follows is sealed. */
  changeCipherSpec(): void {
    this.#items = ['CHANGE_CIPHER_SPEC'];
  }

  /** The flight's datagrams, with fresh record numbers; as many records in each as fit. */
  datagrams(payloadBytes = this.#sizes.payloadBytes): Buffer[] {
    const size = Math.min(payloadBytes, this.#sizes.payloadBytes);
    const room = Math.min(size - HEADER_BYTES, this.#sizes.maxFragmentBytes) - HANDSHAKE_HEADER_BYTES;
    return pack(
      this.#items.flatMap((item) => this.#write(item, room)),
      size,
    );
  }

  #write(item: Item, room: number): Buffer[] {
    if (item === 'CHANGE_CIPHER_SPEC') return [this.#records.write(0, CONTENT.CHANGE_CIPHER_SPEC, CHANGE_CIPHER_SPEC)];
    const fragments = splitMessage(item.message, room);
    return fragments.map((fragment) => this.#records.write(item.epoch, CONTENT.HANDSHAKE, fragment));
  }
}

function pack(records: readonly Buffer[], payloadBytes: number): Buffer[] {
  const datagrams: Buffer[] = [];
  let current = Buffer.alloc(0);
  for (const record of records) {
    if (current.length > 0 && current.length + record.length > payloadBytes) {
      datagrams.push(current);
      current = Buffer.alloc(0);
    }
    current = Buffer.concat([current, record]);
  }
  return current.length > 0 ? [...datagrams, current] : datagrams;
}
