import { createHash } from 'node:crypto';
import { type Message, writeMessage } from './fragments.ts';
import type { PrfHash } from './suites.ts';

/**
 * The messages of a handshake from the ClientHello with the cookie on (RFC 6347 4.2.1, 4.2.6). They are kept as they
 * are: which hash a client signs with shows only when all are there. Reassembly and hello bound their size.
 */
export class Transcript {
  #messages: Buffer[] = [];

  /** Appends a message. */
  add(message: Message): void {
    this.#messages.push(writeMessage(message));
  }

  /** All messages so far. */
  bytes(): Buffer {
    return Buffer.concat(this.#messages);
  }

  /** Their hash. */
  hash(algorithm: PrfHash): Buffer {
    return createHash(algorithm).update(this.bytes()).digest();
  }
}
