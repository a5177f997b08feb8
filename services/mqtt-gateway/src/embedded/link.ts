import type { Duplex } from 'node:stream';
import type { Log } from '@latchkey/runtime';
import type { IConnectPacket, IPublishPacket, Packet } from 'mqtt-packet';
import type { Connack } from '../answer.ts';
import type { Breach } from '../packets.ts';
import { encode, type Message, packetReader, type Reading, type Version } from './codec.ts';
import { connackTo, OTHER_VERSION, type ProtocolRefusal, refusalOf } from './handshake.ts';
import { type Drop, Outbox } from './outbox.ts';
import { REASON } from './reason.ts';
import { type Account, type Flaw, type Rights, readPublish, subscribe, unsubscribe } from './requests.ts';
import type { Recipient } from './router.ts';
import { Subscriptions } from './subscriptions.ts';
import { type Pace, Valve } from './valve.ts';

/** What was written to a link that ends has this long to leave, and its other end to close. */
const GOODBYE_MS = 1_000;

/** Subscriptions of a link: the larger one of the vendor's two figures. */
const MAX_SUBSCRIPTIONS = 100;

/** Packets, and bytes, that may come behind CONNECT while it is decided on: a client that does not wait sends a few. */
const MAX_HELD = 64;
const MAX_HELD_BYTES = 65_536;

/** The answer to a CONNECT: its rights, and what is to be done once the link is open; or why not. */
export type Verdict =
  | { readonly outcome: 'OPEN'; readonly rights: Rights; readonly opened: (recipient: Recipient) => void }
  | { readonly outcome: 'REFUSED'; readonly answer: Connack };

/** What a link needs. */
export type LinkOptions = {
  readonly stream: Duplex;
  /** Decides on a CONNECT. Never rejects. */
  readonly decide: (link: Link, connect: IConnectPacket) => Promise<Verdict>;
  readonly publish: (message: Message, from: Recipient) => void;
  readonly refused: Account['refused'];
  readonly dropped: (why: Drop) => void;
  /** CONNECT must arrive within this time. */
  readonly connectMs: number;
  /** Undefined: it may send as fast as it is read. */
  readonly pace: Pace | undefined;
  readonly monotonic: () => number;
  readonly log: Log;
};

type Open = Account & { readonly outbox: Outbox; readonly recipient: Recipient };

/** One connection that speaks MQTT 3.1, 3.1.1 or 5, from its first byte to its last. No session outlives it. */
export class Link {
  readonly #options: LinkOptions;
  readonly #valve: Valve;
  readonly #read = packetReader();
  #state: 'NEW' | 'DECIDING' | 'OPEN' | 'CLOSED' = 'NEW';
  #version: Version = 4;
  #open: Open | undefined;
  #held: Packet[] = [];
  #heldBytes = 0;
  #silence: NodeJS.Timeout | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
    const { stream, connectMs } = options;
    this.#valve = new Valve(stream, options.pace, options.monotonic);
    this.#silence = setTimeout(() => this.#cut('CONNECT came too late'), connectMs);
    stream.on('data', (chunk: Buffer) => this.#safely(() => this.#take(chunk)));
    stream.on('end', () => this.#finish());
    stream.on('close', () => this.#forget());
  }

  /** Whether it may still be let in, or is. */
  get isOpen(): boolean {
    return this.#state !== 'CLOSED' && !this.#options.stream.destroyed;
  }

  /** Ends the link. With MQTT 5 the other end is told why; before, there is no such packet [MQTT-3.14]. */
  end(reasonCode: number): void {
    if (this.#state === 'OPEN' && this.#version === 5) this.#write({ cmd: 'disconnect', reasonCode });
    this.#finish();
  }

  /** Ends a link that announced a packet which it may not send. */
  breach(breach: Breach): void {
    if (this.#state === 'OPEN') this.end(breach === 'TOO_LONG' ? REASON.PACKET_TOO_LARGE : REASON.MALFORMED_PACKET);
    else if (this.#state !== 'CLOSED') this.#cut(breach);
  }

  #take(chunk: Buffer): void {
    if (this.#state === 'CLOSED') return;
    const { packets, failure } = this.#read(chunk);
    for (const packet of packets) this.#handle(packet);
    if (failure !== undefined) this.#unreadable(failure);
    if (!this.isOpen) return;
    if (this.#state === 'DECIDING') this.#hold(chunk.length);
    this.#valve.passed(packets.filter(({ cmd }) => cmd === 'publish').length, chunk.length);
  }

  #hold(bytes: number): void {
    this.#heldBytes += bytes;
    if (this.#heldBytes > MAX_HELD_BYTES) this.#valve.shut('DECIDING');
  }

  #unreadable(failure: NonNullable<Reading['failure']>): void {
    if (this.#state === 'OPEN') this.end(REASON.MALFORMED_PACKET);
    // A client of a version to come is answered as one of 3.1.1 would be [MQTT-3.1.2-2].
    else if (this.#state === 'NEW' && failure === 'VERSION') this.#refuse(OTHER_VERSION);
    else this.#cut('a packet is malformed');
  }

  #handle(packet: Packet): void {
    switch (this.#state) {
      case 'NEW':
        if (packet.cmd === 'connect') this.#connect(packet);
        else this.#cut('the first packet is not CONNECT');
        break;
      case 'DECIDING':
        if (this.#held.push(packet) > MAX_HELD) this.#cut('too much came behind CONNECT');
        break;
      case 'OPEN':
        this.#silence?.refresh(); // [MQTT-3.1.2-24]
        if (this.#open !== undefined) this.#serve(packet, this.#open);
        break;
      case 'CLOSED':
        break;
    }
  }

  #connect(packet: IConnectPacket): void {
    this.#hush();
    this.#state = 'DECIDING';
    this.#version = packet.protocolVersion ?? 4;
    const refusal = refusalOf(packet);
    if (refusal === undefined) this.#decide(packet);
    else this.#refuse(refusal);
  }

  #decide(packet: IConnectPacket): void {
    void this.#options.decide(this, packet).then((verdict) =>
      this.#safely(() => {
        if (this.#state !== 'DECIDING') return;
        if (verdict.outcome === 'REFUSED') this.#refuse(verdict.answer);
        else this.#welcome(packet, verdict);
      }),
    );
  }

  #welcome(connect: IConnectPacket, { rights, opened }: Verdict & { readonly outcome: 'OPEN' }): void {
    this.#state = 'OPEN';
    this.#write(connackTo(connect));
    this.#listen(connect.keepalive ?? 0);
    const open = this.#account(connect, rights);
    this.#open = open;
    opened(open.recipient);
    for (const packet of this.#held.splice(0)) this.#handle(packet);
    this.#valve.open('DECIDING');
  }

  #account({ properties }: IConnectPacket, rights: Rights): Open {
    const { stream, refused, dropped, monotonic } = this.#options;
    const outbox = new Outbox({
      version: this.#version,
      write: (bytes) => void stream.write(bytes),
      unsentBytes: () => stream.writableLength,
      receiveMaximum: properties?.receiveMaximum,
      maximumPacketSize: properties?.maximumPacketSize,
      dropped,
      monotonic,
    });
    const subscriptions = new Subscriptions(MAX_SUBSCRIPTIONS);
    const deliver: Recipient['deliver'] = (message, delivery) => {
      if (this.#state === 'OPEN') outbox.push(message, delivery);
    };
    const recipient = { subscriptions, deliver };
    return { version: this.#version, rights, subscriptions, refused, outbox, recipient };
  }

  #listen(keepaliveS: number): void {
    if (keepaliveS === 0) return;
    this.#silence = setTimeout(() => this.end(REASON.KEEP_ALIVE_TIMEOUT), keepaliveS * 1500); // [MQTT-3.1.2-24]
  }

  #serve(packet: Packet, open: Open): void {
    switch (packet.cmd) {
      case 'publish':
        this.#publish(packet, open);
        break;
      case 'subscribe':
        this.#answer(subscribe(packet, open));
        break;
      case 'unsubscribe':
        this.#answer(unsubscribe(packet, open));
        break;
      case 'puback':
        open.outbox.acknowledge(packet.messageId);
        break;
      case 'pingreq':
        this.#write({ cmd: 'pingresp' });
        break;
      case 'disconnect':
        this.#finish();
        break;
      default: // a second CONNECT [MQTT-3.1.0-2], AUTH, the packets of QoS 2, and those that only a server sends
        this.end(REASON.PROTOCOL_ERROR);
    }
  }

  #publish(packet: IPublishPacket, open: Open): void {
    const reading = readPublish(packet, open);
    if ('flaw' in reading) {
      this.end(reading.flaw);
      return;
    }
    const { message } = reading;
    if (message !== undefined) this.#options.publish(message, open.recipient);
    // Before MQTT 5 a refused message is acknowledged as if it had been taken [MQTT-3.3.5-2].
    const reasonCode = message === undefined ? REASON.NOT_AUTHORIZED : REASON.SUCCESS;
    if (packet.qos === 1) this.#write({ cmd: 'puback', messageId: packet.messageId ?? 0, reasonCode });
  }

  #answer(answer: Packet | Flaw): void {
    if ('flaw' in answer) this.end(answer.flaw);
    else this.#write(answer);
  }

  #refuse({ mqtt3, mqtt5 }: ProtocolRefusal): void {
    const code = this.#version === 5 ? { reasonCode: mqtt5 } : { returnCode: mqtt3 };
    this.#write({ cmd: 'connack', sessionPresent: false, ...code });
    this.#finish();
  }

  #write(packet: Packet): void {
    this.#options.stream.write(encode(packet, this.#version));
  }

  /** From here on nothing is taken any more; what was written goes out. */
  #finish(): void {
    if (this.#state === 'CLOSED') return;
    this.#forget();
    const { stream } = this.#options;
    stream.end();
    const cut = setTimeout(() => stream.destroy(), GOODBYE_MS);
    stream.once('close', () => clearTimeout(cut));
  }

  #cut(why: string): void {
    this.#options.log.debug({ why }, 'link cut');
    this.#forget();
    this.#options.stream.destroy();
  }

  #forget(): void {
    this.#state = 'CLOSED';
    this.#valve.flush(); // the other end, stuck in its writing, might never read the goodbye
    this.#hush();
    this.#held = [];
  }

  #hush(): void {
    clearTimeout(this.#silence);
    this.#silence = undefined;
  }

  /** An error that nobody foresaw ends this link, and not the process with all others. */
  #safely(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#options.log.error({ err: error }, 'a link failed');
      this.#cut('it failed');
    }
  }
}
