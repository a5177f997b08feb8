import type { ByteBudget } from './coap/byte-budget.ts';

/** Something for a device: a message, or a command that an application waits for. */
export type Downlink = {
  readonly kind: 'MESSAGE' | 'COMMAND';
  readonly payload: Buffer;
  /** Called once. */
  readonly ended: (delivery: Delivery) => void;
};

/**
 * What became of it. ANSWERED: the device's answer, whatever it says; REFUSED: it has no place for it; LOST: nothing was heard
 * of it; LATE: it took it and gave no answer; FULL: too much waits already; TOO_LONG: it does not fit in a message; CLOSED:
 * the session, or what the device had asked for, ended before.
 */
export type Delivery =
  | { readonly outcome: 'ANSWERED'; readonly code: number; readonly payload: Buffer }
  | { readonly outcome: 'REFUSED' | 'LOST' | 'LATE' | 'FULL' | 'TOO_LONG' | 'CLOSED' };

/** What waits for one device: it has one message at a time (NSTART, RFC 7252 4.7), and an application little more to say. */
const MAX_WAITING = 16;

/** What a mailbox needs. */
export type MailboxOptions = {
  /** Never rejects. */
  readonly deliver: (downlink: Downlink) => Promise<Delivery>;
  /** What waits for all devices. */
  readonly budget: ByteBudget;
};

/** What is sent to one device, in its order and one after the other. Nothing outlives its session. */
export class Mailbox {
  readonly #options: MailboxOptions;
  readonly #waiting: Downlink[] = [];
  #isBusy = false;
  #isClosed = false;

  constructor(options: MailboxOptions) {
    this.#options = options;
  }

  /** Takes something in, or says at once why not. */
  put(downlink: Downlink): void {
    if (this.#isClosed) downlink.ended({ outcome: 'CLOSED' });
    else if (this.#waiting.length >= MAX_WAITING || !this.#options.budget.take(downlink.payload.length))
      downlink.ended({ outcome: 'FULL' });
    else {
      this.#waiting.push(downlink);
      if (!this.#isBusy) void this.#deliverAll();
    }
  }

  /** Gives up what waits. */
  flush(outcome: 'LOST' | 'CLOSED'): void {
    for (const downlink of this.#waiting.splice(0)) this.#end(downlink, { outcome });
  }

  /** Takes nothing more. */
  close(): void {
    this.#isClosed = true;
    this.flush('CLOSED');
  }

  async #deliverAll(): Promise<void> {
    this.#isBusy = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const delivery = await this.#options.deliver(next);
      this.#end(next, this.#isClosed ? { outcome: 'CLOSED' } : delivery);
      // A device that is away would keep each of the others waiting for a minute and a half.
      if (delivery.outcome === 'LOST') this.flush('LOST');
    }
    this.#isBusy = false;
  }

  #end(downlink: Downlink, delivery: Delivery): void {
    this.#options.budget.give(downlink.payload.length);
    downlink.ended(delivery);
  }
}
