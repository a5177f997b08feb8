import type { Fragment, Message } from './fragments.ts';

type Partial = {
  readonly type: number;
  readonly epoch: number;
  readonly body: Buffer;
  /** One byte for each of the body: 1 when it is there. */
  readonly filled: Uint8Array;
  missing: number;
};

/** A client's flight has at most four messages after its hello. */
const MAX_MESSAGES_AHEAD = 4;

/**
 * Puts a client's handshake messages together from fragments in any order, overlapping or repeated, and gives them out
 * in their order (RFC 6347 4.2.2, 4.2.3). Holds at most `maxBytes` of bodies.
 */
export class Reassembly {
  readonly #maxBytes: number;
  readonly #partials = new Map<number, Partial>();
  #next: number;
  #heldBytes = 0;

  constructor(next: number, maxBytes: number) {
    this.#next = next;
    this.#maxBytes = maxBytes;
  }

  /**
   * Takes a fragment in; false when it is of no use: its message was taken, is far ahead or too long, or began otherwise.
   * Among bytes that overlap, the first stay.
   */
  add(fragment: Fragment, epoch: number): boolean {
    const ahead = fragment.messageSequence - this.#next;
    const partial = ahead >= 0 && ahead < MAX_MESSAGES_AHEAD ? this.#partialFor(fragment, epoch) : undefined;
    if (partial === undefined) return false;
    fill(partial, fragment);
    return true;
  }

  /** The next message in order, or undefined while anything of it is missing. */
  take(): Message | undefined {
    const partial = this.#partials.get(this.#next);
    if (partial === undefined || partial.missing > 0) return undefined;
    this.#drop(this.#next);
    this.#next += 1;
    return { type: partial.type, messageSequence: this.#next - 1, body: partial.body };
  }

  #partialFor({ type, length, messageSequence }: Fragment, epoch: number): Partial | undefined {
    const known = this.#partials.get(messageSequence);
    if (known?.type === type && known.body.length === length && known.epoch === epoch) return known;
    // What is authenticated takes the place of what anybody may have sent; else the first stays.
    if (known !== undefined && known.epoch >= epoch) return undefined;
    this.#drop(messageSequence);
    if (this.#heldBytes + length > this.#maxBytes) return undefined;
    this.#heldBytes += length;
    const partial = { type, epoch, body: Buffer.alloc(length), filled: new Uint8Array(length), missing: length };
    this.#partials.set(messageSequence, partial);
    return partial;
  }

  #drop(messageSequence: number): void {
    this.#heldBytes -= this.#partials.get(messageSequence)?.body.length ?? 0;
    this.#partials.delete(messageSequence);
  }
}

function fill(partial: Partial, { offset, bytes }: Fragment): void {
  for (const [index, byte] of bytes.entries()) {
    if (partial.filled[offset + index] === 1) continue;
    partial.filled[offset + index] = 1;
    partial.body[offset + index] = byte;
    partial.missing -= 1;
  }
}
