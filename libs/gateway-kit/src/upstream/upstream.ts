import { setTimeout as wait } from 'node:timers/promises';
import type { Random } from '@latchkey/kernel';
import type { Log } from '@latchkey/runtime';
import { connect, type IClientOptions, type IConnackPacket, type MqttClient } from 'mqtt';
import { Backoff } from '../backoff.ts';
import type { TlsIdentity } from '../files.ts';

/** How long a message may take to be acknowledged; the link of one that takes longer is given up: it may be dead. */
const PUBLISH_DEADLINE_MS = 5_000;

/** A broker that takes longer is as good as away. */
const CONNECT_DEADLINE_MS = 5_000;

/** Two of them without a sign of life, and the link is dead. */
const KEEPALIVE_S = 10;

/** Messages sent and not acknowledged, however many the broker allows: what it holds for us is bounded as well. */
const MAX_IN_FLIGHT = 500;

/** Messages that wait for their turn: at 1,000 a second, what the deadline leaves time for. */
const MAX_WAITING = 4_000;

/** Bytes of a PUBLISH besides topic and payload: fixed header 5, topic length 2, packet id 2, properties 1. */
const PACKET_EXTRA_BYTES = 10;

/** Bytes of a message that comes down, topic and properties included: a broker drops what is longer, which no device of ours takes. */
const MAX_RECEIVED_BYTES = 65_536;

/** Tells this client from others of the same broker. */
const NAME_BYTES = 9;

/** What became of a message: acknowledged, too long for the broker, given up by its sender, or not acknowledged in time. */
export type Published = 'ACKNOWLEDGED' | 'TOO_LONG' | 'GIVEN_UP' | 'FAILED';

/** What TLS to the broker goes by. */
export type UpstreamTls = {
  /** PEM of the CAs that the broker's certificate chains to; undefined: those of the system. */
  readonly ca: Buffer | undefined;
  /** The gateway's own certificate for a broker that asks for one. */
  readonly identity: TlsIdentity | undefined;
};

/** What an upstream needs. */
export type UpstreamOptions = {
  /** What the broker sees of its client's name: which gateway this is. */
  readonly name: string;
  /** `mqtt://HOST:PORT` or `mqtts://HOST:PORT`. */
  readonly url: string;
  readonly username: string;
  readonly password: string;
  /** Reads what TLS needs beyond the system's CAs; throws a SettingsError. Absent: nothing. */
  readonly tls?: (() => UpstreamTls) | undefined;
  readonly random: Random;
  readonly log: Log;
  readonly deadlineMs?: number | undefined;
  /** What comes down; absent: nothing does. */
  readonly receive?: Receive;
};

/** What is subscribed to, and who hears of it. What a broker keeps for whoever subscribes later is not asked for. */
export type Receive = {
  readonly filters: readonly string[];
  readonly message: (topic: string, payload: Buffer) => void;
};

/** A way to the broker that takes what devices report, and may give what is for them. */
export type Upstream = {
  readonly isConnected: () => boolean;
  /** Sends with QoS 1 and waits for the acknowledgement. A sender that gives up in time leaves nothing. Never rejects. */
  readonly publish: (topic: string, payload: Buffer, signal: AbortSignal) => Promise<Published>;
  /** Reads `tls` again, for the connections from then on. Throws what it throws, and then nothing has changed. */
  readonly renew: () => void;
  readonly close: () => Promise<void>;
};

/** One connection: when it ends, what was on its way fails, and nothing of it is sent again. */
class Connection {
  readonly #client: MqttClient;
  readonly #maxInFlight: number;
  readonly #maxPacketBytes: number;
  readonly #deadlineMs: number;
  // In the order of their turns.
  readonly #waiting = new Set<() => void>();
  #inFlight = 0;

  constructor(client: MqttClient, { properties }: IConnackPacket, deadlineMs: number) {
    this.#client = client;
    this.#deadlineMs = deadlineMs;
    this.#maxInFlight = Math.min(properties?.receiveMaximum ?? MAX_IN_FLIGHT, MAX_IN_FLIGHT);
    this.#maxPacketBytes = properties?.maximumPacketSize ?? Number.POSITIVE_INFINITY;
  }

  publish(topic: string, payload: Buffer, signal: AbortSignal): Promise<Published> {
    const packetBytes = Buffer.byteLength(topic) + payload.length + PACKET_EXTRA_BYTES;
    if (packetBytes > this.#maxPacketBytes) return Promise.resolve('TOO_LONG');
    if (this.#waiting.size >= MAX_WAITING) return Promise.resolve('FAILED');
    if (signal.aborted) return Promise.resolve('GIVEN_UP');
    return new Promise((resolve) => {
      let isSent = false;
      const send = () => {
        isSent = true;
        this.#send(topic, payload, end);
      };
      const end = (published: Published) => {
        clearTimeout(timer);
        signal.removeEventListener('abort', giveUp);
        this.#waiting.delete(send);
        resolve(published);
      };
      // What was sent may have arrived: then only the broker's answer says what became of it.
      const giveUp = () => (isSent ? undefined : end('GIVEN_UP'));
      const timer = setTimeout(() => {
        if (isSent) this.#client.end(true);
        end('FAILED');
      }, this.#deadlineMs);
      signal.addEventListener('abort', giveUp);
      if (this.#inFlight < this.#maxInFlight) send();
      else this.#waiting.add(send);
    });
  }

  /** When the connection has ended, the client says so at once. */
  #send(topic: string, payload: Buffer, end: (published: Published) => void): void {
    this.#inFlight += 1;
    this.#client.publish(topic, payload, { qos: 1 }, (error) => {
      this.#inFlight -= 1;
      end(error ? 'FAILED' : 'ACKNOWLEDGED');
      this.#next();
    });
  }

  #next(): void {
    const [send] = this.#waiting;
    if (send === undefined) return;
    this.#waiting.delete(send);
    send();
  }
}

/** Looks for the broker again and again until it is closed. Throws what `tls` throws. */
export function openUpstream(options: UpstreamOptions): Upstream {
  const { random, log, deadlineMs = PUBLISH_DEADLINE_MS } = options;
  const stop = new AbortController();
  const { signal } = stop;
  const backoff = new Backoff(random);
  let connection: Connection | undefined;
  let client: MqttClient | undefined;
  let tls = options.tls?.();
  const run = async () => {
    while (!signal.aborted) {
      const opened = connect(options.url, clientOptions(options, tls));
      client = opened;
      opened.once('connect', (connack) => {
        log.info({}, 'the upstream broker takes reports');
        backoff.reset();
        connection = new Connection(opened, connack, deadlineMs);
        if (options.receive !== undefined) subscribe(opened, options.receive, log);
      });
      const why = await endOf(opened);
      connection = undefined;
      opened.end(true);
      if (signal.aborted) return;
      log.warn({ why }, 'the upstream broker is away; reports are refused until it is back');
      await wait(backoff.nextMs(), undefined, { signal });
    }
  };
  const running = run().catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
  return {
    isConnected: () => connection !== undefined,
    publish: (topic, payload, given) => connection?.publish(topic, payload, given) ?? Promise.resolve('FAILED'),
    renew: () => {
      tls = options.tls?.();
    },
    close: async () => {
      stop.abort();
      client?.end(true);
      await running;
    },
  };
}

/** Nothing is kept while the link is away, so it subscribes anew with each one. */
function subscribe(client: MqttClient, { filters, message }: Receive, log: Log): void {
  client.on('message', (topic, payload) => message(topic, payload));
  const wanted = Object.fromEntries(filters.map((filter) => [filter, { qos: 1, rh: 2 } as const]));
  client.subscribe(wanted, (error) => {
    if (error) log.warn({ why: error.message }, 'the upstream broker gives nothing for devices');
    else log.info({}, 'the upstream broker gives what is for devices');
  });
}

function clientOptions(options: UpstreamOptions, tls: UpstreamTls | undefined): IClientOptions {
  const { name, username, password, random, receive } = options;
  return {
    username,
    password,
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...tls?.identity,
    clientId: `latchkey-${name}-${Buffer.from(random(NAME_BYTES)).toString('base64url')}`,
    protocolVersion: 5, // its PUBACK says when the broker refuses a message
    clean: true,
    reconnectPeriod: 0, // it would send again what its sender was told had failed
    connectTimeout: CONNECT_DEADLINE_MS,
    keepalive: KEEPALIVE_S,
    ...(receive === undefined ? {} : { properties: { maximumPacketSize: MAX_RECEIVED_BYTES } }),
  };
}

/** Waits for the end of a connection, or of the attempt at one, and says why it ended. */
function endOf(client: MqttClient): Promise<string> {
  return new Promise((resolve) => {
    let why = 'closed';
    client.on('error', (error) => {
      why = error.message;
    });
    client.once('close', () => resolve(why));
  });
}
