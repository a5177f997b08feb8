import type { IPublishPacket } from 'mqtt-packet';
import { encode, type Message, type Version } from './codec.ts';
import type { Delivery } from './subscriptions.ts';

/** QoS 1 messages under way to a link without PUBACK; a device with less room says so (MQTT 5 Receive Maximum). */
const MAX_IN_FLIGHT = 32;

/** QoS 1 messages that wait for their turn: some minutes of commands to one device. */
const MAX_QUEUED = 100;

/** Bytes that wait for a link, in the queue and in its socket: room for a largest message behind another one. */
const MAX_WAITING_BYTES = 2_097_152;

/** The largest message identifier; 0 is none [MQTT-2.2.1-3]. */
const MAX_MESSAGE_ID = 65_535;

/** Why a message did not go out: the link takes too little, takes no packet so large, or took too long for its expiry. */
export type Drop = 'SLOW' | 'TOO_LARGE' | 'EXPIRED';

/** What an outbox needs. */
export type OutboxOptions = {
  readonly version: Version;
  readonly write: (bytes: Buffer) => void;
  /** Bytes that were written and have not left yet. */
  readonly unsentBytes: () => number;
  /** MQTT 5: what the other end allows. */
  readonly receiveMaximum: number | undefined;
  readonly maximumPacketSize: number | undefined;
  readonly dropped: (why: Drop) => void;
  /** Milliseconds of a clock that only goes forward. */
  readonly monotonic: () => number;
};

type Waiting = {
  readonly messageId: number;
  readonly message: Message;
  readonly delivery: Delivery;
  readonly size: number;
  readonly sinceMs: number;
};

/** The messages on their way to one link. Nothing outlives the link: no session does. */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #maxInFlight: number;
  readonly #inFlight = new Set<number>();
  readonly #queue: Waiting[] = [];
  #queuedBytes = 0;
  #lastId = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#maxInFlight = Math.min(options.receiveMaximum ?? MAX_IN_FLIGHT, MAX_IN_FLIGHT);
  }

  /** Sends a message, queues it, or drops it. */
  push(message: Message, delivery: Delivery): void {
    const drop = this.#take(message, delivery);
    if (drop === undefined) this.#pump();
    else this.#options.dropped(drop);
  }

  #take(message: Message, delivery: Delivery): Drop | undefined {
    const { write, unsentBytes, maximumPacketSize = Number.POSITIVE_INFINITY, monotonic, version } = this.#options;
    const acknowledged = Math.min(message.qos, delivery.qos) === 1;
    const messageId = acknowledged ? this.#nextId() : undefined;
    const bytes = encode(publishPacket(message, delivery, messageId), version);
    const size = bytes.length;
    if (size > maximumPacketSize) return 'TOO_LARGE'; // [MQTT-3.1.2-24]
    if (unsentBytes() + this.#queuedBytes + size > MAX_WAITING_BYTES) return 'SLOW';
    if (messageId === undefined) {
      write(bytes);
      return undefined;
    }
    if (this.#queue.length >= MAX_QUEUED) return 'SLOW';
    this.#queue.push({ messageId, message, delivery, size, sinceMs: monotonic() });
    this.#queuedBytes += size;
    return undefined;
  }

  /** PUBACK came; one that nobody waits for changes nothing. */
  acknowledge(messageId: number | undefined): void {
    if (messageId !== undefined && this.#inFlight.delete(messageId)) this.#pump();
  }

  #pump(): void {
    while (this.#inFlight.size < this.#maxInFlight) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      this.#queuedBytes -= next.size;
      const message = aged(next.message, this.#options.monotonic() - next.sinceMs);
      if (message === undefined) {
        this.#options.dropped('EXPIRED');
        continue;
      }
      this.#inFlight.add(next.messageId);
      this.#options.write(encode(publishPacket(message, next.delivery, next.messageId), this.#options.version));
    }
  }

  #nextId(): number {
    const isTaken = (id: number) => this.#inFlight.has(id) || this.#queue.some(({ messageId }) => messageId === id);
    do this.#lastId = (this.#lastId % MAX_MESSAGE_ID) + 1;
    while (isTaken(this.#lastId)); // ends: far fewer are out than there are
    return this.#lastId;
  }
}

/** The message with what is left of its expiry after a wait; undefined: nothing is [MQTT-3.3.2-5, -6]. */
function aged(message: Message, waitedMs: number): Message | undefined {
  const { messageExpiryInterval } = message.properties;
  if (messageExpiryInterval === undefined) return message;
  const left = messageExpiryInterval - Math.floor(waitedMs / 1000);
  return left > 0 ? { ...message, properties: { ...message.properties, messageExpiryInterval: left } } : undefined;
}

function publishPacket(
  { topic, payload, properties }: Message,
  { identifiers }: Delivery,
  messageId: number | undefined,
): IPublishPacket {
  return {
    cmd: 'publish',
    topic,
    payload,
    qos: messageId === undefined ? 0 : 1,
    dup: false,
    retain: false,
    ...(messageId !== undefined && { messageId }),
    properties: { ...properties, ...(identifiers.length > 0 && { subscriptionIdentifier: [...identifiers] }) },
  };
}
