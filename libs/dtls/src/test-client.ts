import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { setImmediate as turned } from 'node:timers/promises';
import { Reader, uint, vector } from './bytes.ts';
import { CONTENT, DTLS_1_2, EXTENSION, HANDSHAKE } from './codes.ts';
import { type Message, readFragments, splitMessage, writeMessage } from './fragments.ts';
import { masterSecret, pskPremaster, recordKeys, verifyData } from './key-schedule.ts';
import { makeKeyShare } from './key-share.ts';
import type { Draft } from './outgoing.ts';
import { type EpochKeys, protectorFor } from './protection.ts';
import { Reassembly } from './reassembly.ts';
import { RecordLayer } from './record-layer.ts';
import { readRecords, type WireRecord, writeRecord } from './records.ts';
import { type Suite, suitesNamed } from './suites.ts';
import { IDENTITY, KEY } from './test-server.ts';
import { readServerHello } from './test-server-hello.ts';
import { Transcript } from './transcript.ts';

/** What a client does otherwise than a plain one. */
export type TestClientOptions = {
  readonly suite?: string;
  readonly identity?: string;
  readonly key?: Uint8Array;
  /** Asks for connection ids, to be addressed by this one. */
  readonly connectionId?: Buffer;
  readonly hasExtendedMasterSecret?: boolean;
  /** Extensions beside those that the rest asks for. */
  readonly extensions?: readonly Buffer[];
  /** Bytes of a handshake fragment. */
  readonly fragmentBytes?: number;
  /** What becomes of the datagrams of a flight; it sees each flight before it goes out. */
  readonly tamper?: (datagrams: readonly Buffer[]) => readonly Buffer[];
  /** How long it waits before it sends its flight again. */
  readonly retransmitMs?: number;
  readonly giveUpMs?: number;
  /** A network in memory instead of a socket. */
  readonly network?: Network;
  /** For suites with certificates: DER, leaf first, and what it sends between its key exchange and its Finished. */
  readonly certificate?: { readonly chain: readonly Buffer[]; readonly verify: (messages: Buffer) => readonly Draft[] };
  /** What it makes of its Finished. */
  readonly finished?: (body: Buffer) => Buffer;
  /** The epoch of its Finished: 0 sends it in clear. */
  readonly finishedEpoch?: 0;
  /** Shares another client's socket: a device that restarts on the same port. */
  readonly socketOf?: TestClient;
};

/**
 * A network that delivers at once: what is on its way has arrived after a few turns of the event loop, so a client there
 * waits for turns and not for time.
 */
export type Network = { readonly join: (hear: (datagram: Buffer) => void) => Wire };

/** A client's end of it. */
export type Wire = { readonly send: (datagram: Buffer) => void; readonly leave: () => void };

/** More turns than any lookup of a test takes. */
const GIVE_UP_TURNS = 12;

/** The server said no. */
export class AlertReceived extends Error {
  readonly description: number;

  constructor(description: number) {
    super(`alert ${description}`);
    this.description = description;
  }
}

const GIVE_UP_MS = 8_000;
const MOMENT_MS = 10;

/** An extension's bytes. */
export function extension(type: number, content: Buffer): Buffer {
  return Buffer.concat([uint(2, type), vector(2, content)]);
}

/** A client that can be told to misbehave. It shares the codec with the server, interop tests do not. */
export class TestClient {
  readonly suite: Suite;
  readonly #options: TestClientOptions;
  readonly #port: number;
  #socket: Socket | undefined;
  readonly #wire: Wire | undefined;
  readonly #random = randomBytes(32);
  #records = new RecordLayer(0);
  #reassembly = new Reassembly(0, 100_000);
  #transcript = new Transcript();
  #messageSequence = 0;
  #early: WireRecord[] = [];
  #keys: EpochKeys | undefined;
  #resend: (() => void) | undefined;
  #lastFlight: (() => readonly Buffer[]) | undefined;
  #heard: (() => void) | undefined;
  readonly received: Buffer[] = [];
  readonly alerts: number[] = [];
  readonly datagrams: Buffer[] = [];

  constructor(port: number, options: TestClientOptions = {}) {
    const [suite] = suitesNamed([options.suite ?? 'TLS_PSK_WITH_AES_128_CCM_8']);
    if (suite === undefined) throw new Error('no suite');
    this.suite = suite;
    this.#port = port;
    this.#options = options;
    this.#wire = options.network?.join((datagram) => this.#hear(datagram));
    if (this.#wire === undefined) this.#socket = options.socketOf?.socket ?? this.#open();
    if (options.socketOf !== undefined) this.listenAgain();
  }

  get socket(): Socket {
    if (this.#socket === undefined) throw new Error('in memory there is no socket');
    return this.#socket;
  }

  get localPort(): number {
    return this.socket.address().port;
  }

  /** Goes on from a new port, as behind a NAT that forgot. */
  rebind(): void {
    this.socket.close();
    this.#socket = this.#open();
  }

  /** Takes a shared socket back. */
  listenAgain(): void {
    this.#listen(this.socket);
  }

  close(): void {
    this.#socket?.close();
    this.#wire?.leave();
  }

  /** Sends bytes as they are. */
  sendRaw(datagram: Buffer): void {
    if (this.#wire === undefined) this.socket.send(datagram, this.#port, '127.0.0.1');
    else this.#wire.send(datagram);
  }

  /** A sealed record of application data. */
  seal(data: string | Buffer, type: number = CONTENT.APPLICATION_DATA): Buffer {
    return this.#records.write(1, type, Buffer.from(data));
  }

  /** A record of application data under the right keys, with a number far ahead and without its connection id. */
  sealWithoutId(data: string): Buffer {
    const header = {
      type: CONTENT.APPLICATION_DATA,
      version: DTLS_1_2,
      epoch: 1,
      sequence: 1_000,
      connectionId: Buffer.alloc(0),
    };
    const fragment = this.#keys?.write.seal(header, Buffer.from(data)) ?? Buffer.alloc(0);
    return writeRecord({ ...header, fragment });
  }

  send(data: string | Buffer): void {
    this.sendRaw(this.seal(data));
  }

  /** Its last flight, sealed anew. */
  lastFlight(): readonly Buffer[] {
    return this.#lastFlight?.() ?? [];
  }

  /** Sends its last flight as if it had not heard the server's. */
  repeatFlight(): void {
    for (const datagram of this.lastFlight()) this.sendRaw(datagram);
  }

  /** The next application data. */
  async bytes(): Promise<Buffer> {
    await this.#wait(() => this.received.length > 0);
    return this.received.shift() ?? Buffer.alloc(0);
  }

  /** The same as text. */
  async data(): Promise<string> {
    return String(await this.bytes());
  }

  /** The bytes of a hello with this cookie. */
  hello(cookie: Buffer, messageSequence: number): Message {
    const wanted = [
      ...(this.#options.hasExtendedMasterSecret === false
        ? []
        : [extension(EXTENSION.EXTENDED_MASTER_SECRET, Buffer.alloc(0))]),
      ...(this.suite.cipher.mode === 'AEAD' ? [] : [extension(EXTENSION.ENCRYPT_THEN_MAC, Buffer.alloc(0))]),
      ...(this.#options.connectionId === undefined
        ? []
        : [extension(EXTENSION.CONNECTION_ID, vector(1, this.#options.connectionId))]),
      ...(this.#options.extensions ?? []),
    ];
    const head = [uint(2, DTLS_1_2), this.#random, vector(1), vector(1, cookie)];
    const offer = [vector(2, uint(2, this.suite.id)), vector(1, uint(1, 0)), vector(2, ...wanted)];
    return { type: HANDSHAKE.CLIENT_HELLO, messageSequence, body: Buffer.concat([...head, ...offer]) };
  }

  /** Gets a cookie and shows it; afterwards the server's flight is under way. */
  async greet(): Promise<Message> {
    this.#sendFlight([this.#record(this.hello(Buffer.alloc(0), 0))]);
    const request = await this.#message(HANDSHAKE.HELLO_VERIFY_REQUEST);
    const reader = new Reader(request.body);
    reader.number(2);
    const hello = this.hello(reader.vector(1), 1);
    this.#messageSequence = 2;
    this.#transcript.add(hello);
    this.#sendFlight([this.#record(hello)]);
    return hello;
  }

  /** The whole handshake. Throws AlertReceived when the server refuses. */
  async connect(): Promise<this> {
    await this.greet();
    const serverHello = await this.#message(HANDSHAKE.SERVER_HELLO);
    this.#transcript.add(serverHello);
    const { random, connectionId } = readServerHello(serverHello.body);
    const keyShare = await this.#serverKey();
    this.#transcript.add(await this.#message(HANDSHAKE.SERVER_HELLO_DONE));
    const certificate = this.#certificate();
    const exchange = this.#number(this.#keyExchange(keyShare?.publicKey));
    const ecdheSecret = keyShare?.secret ?? Buffer.alloc(0);
    const isPsk = this.#options.certificate === undefined;
    const premaster = isPsk ? pskPremaster(this.#options.key ?? KEY, ecdheSecret) : ecdheSecret;
    const randoms = { client: this.#random, server: random };
    const master = masterSecret(this.suite.prf, premaster, this.#seed(randoms));
    const keys = recordKeys(this.suite, master, randoms);
    this.#useKeys(connectionId, {
      read: protectorFor(this.suite, keys.server),
      write: protectorFor(this.suite, keys.client),
    });
    const verify = this.#options.certificate?.verify(this.#transcript.bytes()).map((draft) => this.#number(draft));
    const clear = [...certificate, exchange, ...(verify ?? [])];
    const finished = verifyData(this.suite.prf, master, 'client', this.#transcript.hash(this.suite.prf));
    const message = this.#number({ type: HANDSHAKE.FINISHED, body: this.#options.finished?.(finished) ?? finished });
    const flight = () => [
      ...clear.flatMap((one) => this.#fragments(one, 0)),
      this.#records.write(0, CONTENT.CHANGE_CIPHER_SPEC, uint(1, 1)),
      ...this.#fragments(message, this.#options.finishedEpoch ?? 1),
    ];
    this.#lastFlight = flight;
    this.#sendFlight(flight(), flight);
    const answer = await this.#message(HANDSHAKE.FINISHED);
    const expected = verifyData(this.suite.prf, master, 'server', this.#transcript.hash(this.suite.prf));
    if (!answer.body.equals(expected)) throw new Error("the server's Finished says something else");
    this.#resend = undefined;
    return this;
  }

  #open(): Socket {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    this.#listen(socket);
    return socket;
  }

  #listen(socket: Socket): void {
    socket.removeAllListeners('message');
    socket.on('message', (datagram) => this.#hear(datagram));
  }

  #hear(datagram: Buffer): void {
    this.datagrams.push(datagram);
    for (const record of readRecords(datagram, this.#options.connectionId?.length ?? 0)) this.#take(record);
    this.#heard?.();
  }

  #seed(randoms: { readonly client: Buffer; readonly server: Buffer }) {
    if (this.#options.hasExtendedMasterSecret === false) {
      return { kind: 'RANDOMS', bytes: Buffer.concat([randoms.client, randoms.server]) } as const;
    }
    return { kind: 'SESSION_HASH', bytes: this.#transcript.hash(this.suite.prf) } as const;
  }

  async #serverKey(): Promise<{ readonly publicKey: Buffer; readonly secret: Buffer } | undefined> {
    if (this.suite.keyExchange === 'PSK') return undefined;
    const hasCertificate = this.#options.certificate !== undefined;
    if (hasCertificate) this.#transcript.add(await this.#message(HANDSHAKE.CERTIFICATE));
    const message = await this.#message(HANDSHAKE.SERVER_KEY_EXCHANGE);
    this.#transcript.add(message);
    if (hasCertificate) this.#transcript.add(await this.#message(HANDSHAKE.CERTIFICATE_REQUEST));
    const reader = new Reader(message.body);
    if (!hasCertificate) reader.vector(2);
    reader.number(1);
    const share = makeKeyShare(reader.number(2));
    return { publicKey: share.publicKey, secret: share.agree(reader.vector(1)) };
  }

  #certificate(): Message[] {
    const { certificate } = this.#options;
    if (certificate === undefined) return [];
    const body = vector(3, ...certificate.chain.map((der) => vector(3, der)));
    return [this.#number({ type: HANDSHAKE.CERTIFICATE, body })];
  }

  #keyExchange(publicKey: Buffer | undefined): Draft {
    const point = publicKey === undefined ? [] : [vector(1, publicKey)];
    const identity = vector(2, Buffer.from(this.#options.identity ?? IDENTITY));
    const body = Buffer.concat(this.#options.certificate === undefined ? [identity, ...point] : point);
    return { type: HANDSHAKE.CLIENT_KEY_EXCHANGE, body };
  }

  #useKeys(connectionId: Buffer | undefined, keys: EpochKeys): void {
    const ids = connectionId && { incoming: this.#options.connectionId ?? Buffer.alloc(0), outgoing: connectionId };
    // The numbers of epoch 0 begin anew beyond what two hellos used.
    this.#records = new RecordLayer(2, ids);
    this.#records.useKeys(keys);
    this.#keys = keys;
    for (const record of this.#early.splice(0)) this.#take(record);
  }

  #number(draft: Draft): Message {
    const message = { ...draft, messageSequence: this.#messageSequence };
    this.#messageSequence += 1;
    this.#transcript.add(message);
    return message;
  }

  #record(message: Message): Buffer {
    return this.#records.write(0, CONTENT.HANDSHAKE, writeMessage(message));
  }

  #fragments(message: Message, epoch: 0 | 1): Buffer[] {
    const fragments = splitMessage(message, this.#options.fragmentBytes ?? 10_000);
    return fragments.map((fragment) => this.#records.write(epoch, CONTENT.HANDSHAKE, fragment));
  }

  #sendFlight(datagrams: readonly Buffer[], again: () => readonly Buffer[] = () => datagrams): void {
    const send = (all: readonly Buffer[]) => {
      for (const datagram of this.#options.tamper?.(all) ?? all) this.sendRaw(datagram);
    };
    send(datagrams);
    this.#resend = () => send(again());
  }

  #take(record: WireRecord): void {
    if (record.epoch === 1 && this.#keys === undefined) {
      this.#early.push(record);
      return;
    }
    const opened = record.epoch === 0 ? { type: record.type, body: record.fragment } : this.#records.open(record);
    if (opened?.type === CONTENT.APPLICATION_DATA) this.received.push(opened.body);
    if (opened?.type === CONTENT.ALERT) this.alerts.push(opened.body.readUInt8(1));
    if (opened?.type === CONTENT.HANDSHAKE) {
      for (const fragment of readFragments(opened.body)) this.#reassembly.add(fragment, record.epoch);
    }
  }

  async #message(type: number): Promise<Message> {
    let message: Message | undefined;
    await this.#wait(() => {
      message ??= this.#reassembly.take();
      return message !== undefined;
    });
    if (message?.type !== type) throw new Error(`message ${message?.type} instead of ${type}`);
    return message;
  }

  /** The next datagram, or a moment. */
  async #datagram(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#heard = resolve;
    const timer = setTimeout(resolve, MOMENT_MS);
    await promise;
    clearTimeout(timer);
  }

  async #wait(condition: () => boolean): Promise<void> {
    const start = performance.now();
    let sentAt = start;
    const { giveUpMs = GIVE_UP_MS, retransmitMs = 200 } = this.#options;
    for (let turn = 0; !condition(); turn++) {
      const [alert] = this.alerts;
      if (alert !== undefined) throw new AlertReceived(alert);
      const now = performance.now();
      if (this.#wire === undefined ? now - start > giveUpMs : turn > GIVE_UP_TURNS)
        throw new Error('the server says nothing');
      if (now - sentAt > retransmitMs) {
        sentAt = now;
        this.#resend?.();
      }
      await (this.#wire === undefined ? this.#datagram() : turned());
    }
  }
}
