import type { DeviceId } from '@latchkey/kernel';
import type { ByteBudget } from './coap/byte-budget.ts';
import { METHOD, RESPONSE } from './coap/codes.ts';
import type { Conversation, Notified } from './coap/conversation.ts';
import { type Delivery, type Downlink, Mailbox } from './mailbox.ts';
import type { Receiver, Receivers } from './receivers.ts';

/** Where LwM2M devices have what they report (IoTDA devg iot_02_0213): object 19, BinaryAppDataContainer. */
const REPORTS = ['19', '0', '0'];

/** Where they take what is written to them (IoTDA API iot_06_v5_1328). */
const WRITES = ['19', '1', '0'];

/** Bytes of what is sent to a device: as much as the vendor has it, and one message. */
const MAX_PAYLOAD_BYTES = 1_024;

/** Bytes of a message besides its payload: header and token 8, options 10, the marker. */
const MESSAGE_EXTRA_BYTES = 24;

const NO_BYTES = Buffer.alloc(0);

/** What a registration needs. */
export type RegistrationOptions = {
  readonly receivers: Receivers;
  readonly budget: ByteBudget;
  readonly conversation: Pick<
    Conversation,
    'ask' | 'notify' | 'isObserved' | 'observe' | 'endObservation' | 'forgetObserver'
  >;
  /** Bytes of a datagram to the device. */
  readonly maxDataBytes: number;
  /** Its lifetime has passed without an update. */
  readonly expired: () => void;
};

/**
 * What the device of one session has asked for: as an LwM2M client that its reports are observed and commands written to it,
 * as a plain one that it is told as an observer. It ends with its session, and with its lifetime.
 */
export class Registration {
  readonly #options: RegistrationOptions;
  readonly #mailbox: Mailbox;
  readonly #receiver: Receiver;
  #deviceId: DeviceId | undefined;
  /** Undefined: it is not registered as an LwM2M client. */
  #lifetimeS: number | undefined;
  #expiry: NodeJS.Timeout | undefined;

  constructor(options: RegistrationOptions) {
    this.#options = options;
    this.#mailbox = new Mailbox({ budget: options.budget, deliver: (downlink) => this.#deliver(downlink) });
    this.#receiver = { receive: (downlink) => this.#mailbox.put(downlink), replaced: () => this.#replaced() };
  }

  /** An LwM2M client registers, or registers anew. */
  begin(deviceId: DeviceId, lifetimeS: number, notified: Notified): void {
    this.#options.conversation.observe(REPORTS, notified);
    this.#live(lifetimeS);
    this.listen(deviceId);
  }

  /** It goes on; false: it is not registered. */
  update(lifetimeS: number | undefined): boolean {
    if (this.#lifetimeS === undefined) return false;
    this.#live(lifetimeS ?? this.#lifetimeS);
    return true;
  }

  /** It registers no more; false: it did not. */
  end(): boolean {
    if (this.#lifetimeS === undefined) return false;
    clearTimeout(this.#expiry);
    this.#lifetimeS = undefined;
    this.#options.conversation.endObservation();
    this.#look();
    return true;
  }

  /** The device may have begun or ended to observe. */
  listen(deviceId: DeviceId): void {
    this.#deviceId = deviceId;
    this.#look();
  }

  /** The session is over. */
  close(): void {
    this.#mailbox.close();
    clearTimeout(this.#expiry);
    this.#leave();
    this.#deviceId = undefined; // what is under way still ends, and would enter it again
  }

  get #isTaking(): boolean {
    return this.#lifetimeS !== undefined || this.#options.conversation.isObserved;
  }

  #live(lifetimeS: number): void {
    clearTimeout(this.#expiry);
    this.#lifetimeS = lifetimeS;
    this.#expiry = setTimeout(() => {
      this.#options.expired();
      this.end();
    }, lifetimeS * 1_000);
  }

  #look(): void {
    if (this.#deviceId === undefined) return;
    if (this.#isTaking) this.#options.receivers.enter(this.#deviceId, this.#receiver);
    else this.#leave();
  }

  #leave(): void {
    if (this.#deviceId !== undefined) this.#options.receivers.leave(this.#deviceId, this.#receiver);
    this.#mailbox.flush('CLOSED');
  }

  /** A device has one registration, and the newest counts (OMA LwM2M 1.1 Core, 6.2.1). */
  #replaced(): void {
    this.#options.conversation.forgetObserver();
    if (!this.end()) this.#leave();
  }

  async #deliver({ kind, payload }: Downlink): Promise<Delivery> {
    const { conversation, maxDataBytes } = this.#options;
    if (payload.length > Math.min(MAX_PAYLOAD_BYTES, maxDataBytes - MESSAGE_EXTRA_BYTES))
      return { outcome: 'TOO_LONG' };
    if (kind === 'MESSAGE' && conversation.isObserved) return this.#notify(payload);
    // An observer could not answer a command.
    if (this.#lifetimeS === undefined) return { outcome: 'REFUSED' };
    const reply = await conversation.ask({ method: METHOD.PUT, path: WRITES, payload });
    if (reply.outcome === 'ANSWERED') return reply;
    return { outcome: reply.outcome === 'RESET' ? 'REFUSED' : reply.outcome };
  }

  async #notify(payload: Buffer): Promise<Delivery> {
    const ending = await this.#options.conversation.notify(payload);
    this.#look();
    switch (ending) {
      case 'ACKNOWLEDGED':
        return { outcome: 'ANSWERED', code: RESPONSE.CHANGED, payload: NO_BYTES };
      case 'RESET':
        return { outcome: 'REFUSED' };
      case 'LOST':
        return { outcome: 'LOST' };
    }
  }
}
