import type { Random } from '@latchkey/kernel';

/** How a confirmable message ended: it arrived, the client wants nothing of it, or nothing was heard of it. */
export type Ending = 'ACKNOWLEDGED' | 'RESET' | 'LOST';

/** ACK_TIMEOUT, ACK_RANDOM_FACTOR and MAX_RETRANSMIT (RFC 7252 4.8). */
const ACK_TIMEOUT_MS = 2_000;
const RANDOM_FACTOR = 1.5;
const MAX_RETRANSMIT = 4;

/** What the transmissions need. */
export type TransmissionsOptions = {
  readonly send: (datagram: Buffer) => void;
  readonly random: Random;
  /** The first wait for an acknowledgement at its shortest; a test may shorten it. */
  readonly ackMs?: number | undefined;
};

type Transmission = { timer: NodeJS.Timeout | undefined; readonly ended: (ending: Ending) => void };

/** The confirmable messages that are sent to one client, and sent again until they end (RFC 7252 4.2). */
export class Transmissions {
  readonly #options: TransmissionsOptions;
  readonly #open = new Map<number, Transmission>();
  #nextId: number;

  constructor(options: TransmissionsOptions) {
    this.#options = options;
    // Chance to begin with, so that nobody off the path can guess it (RFC 7252 4.4).
    this.#nextId = Buffer.from(options.random(2)).readUInt16BE(0);
  }

  /** Messages that have not ended. Their number is the caller's to bound. */
  get size(): number {
    return this.#open.size;
  }

  /** A message id that was not used for 65,535 messages. */
  takeId(): number {
    const id = this.#nextId;
    this.#nextId = (id + 1) % 0x10000;
    return id;
  }

  /** Sends the message with this id until it ends; says once how it did. */
  send(id: number, datagram: Buffer, ended: (ending: Ending) => void): void {
    const transmission: Transmission = { timer: undefined, ended };
    const { ackMs = ACK_TIMEOUT_MS, random, send } = this.#options;
    const part = Buffer.from(random(1)).readUInt8(0) / 255;
    const transmit = (count: number, waitMs: number) => {
      send(datagram);
      const next = () => (count > MAX_RETRANSMIT ? this.settle(id, 'LOST') : transmit(count + 1, 2 * waitMs));
      transmission.timer = setTimeout(next, waitMs);
    };
    this.settle(id, 'LOST');
    this.#open.set(id, transmission);
    transmit(1, ackMs * (1 + part * (RANDOM_FACTOR - 1)));
  }

  /** Ends a message; does nothing when there is none with this id. */
  settle(id: number, ending: Ending): void {
    const transmission = this.#open.get(id);
    if (transmission === undefined) return;
    clearTimeout(transmission.timer);
    this.#open.delete(id);
    transmission.ended(ending);
  }

  /** Sends nothing again. */
  close(): void {
    for (const id of [...this.#open.keys()]) this.settle(id, 'LOST');
  }
}
