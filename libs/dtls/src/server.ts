import { randomBytes } from 'node:crypto';
import { alertBody, FatalAlert } from './alerts.ts';
import type { DtlsServerOptions, Failure, Peer } from './api.ts';
import { tryDecode } from './bytes.ts';
import { type ClientHello, readClientHello } from './client-hello.ts';
import { CONTENT, DTLS_1_0, DTLS_1_2, HANDSHAKE } from './codes.ts';
import { Cookies } from './cookies.ts';
import { type Fragment, type Message, readFragments, writeMessage } from './fragments.ts';
import { Handshake } from './handshake.ts';
import type { Established, Opening } from './handshake-parts.ts';
import { DEFAULT_LIMITS, type Limits, MAX_PLAINTEXT_BYTES } from './limits.ts';
import { type Abilities, type Agreement, negotiate } from './negotiate.ts';
import { OpenSession } from './open-session.ts';
import { Peers } from './peers.ts';
import type { ConnectionIds } from './record-layer.ts';
import { readRecords, type WireRecord, writeRecord } from './records.ts';
import { helloVerifyRequest, type ServerCertificate } from './server-messages.ts';
import { isFitKey } from './signatures.ts';
import { SUITES, suitesNamed } from './suites.ts';
import { type Address, listenUdp, type Transport, type TransportEvents } from './transport.ts';

/** What a server has done since its start. */
export type Counters = {
  /** Cookies handed out. */
  helloVerifyRequests: number;
  /** Handshakes begun: their cookie came back. */
  handshakes: number;
  established: number;
  failed: number;
  /** Hellos with a good cookie that found no place. */
  shed: number;
  /** Records that were nobody's. */
  dropped: number;
  /** Datagrams that the socket did not take. */
  unsent: number;
};

/** Random, so that one cannot be guessed; always as long, so that a record can be read. */
const CONNECTION_ID_BYTES = 8;

/** A client whose cookies keep getting too old numbers its hellos on; one with more has lost its way. */
const MAX_HELLO_SEQUENCE = 8;

/** The server numbers its records from the hello's on, and needs room for them. */
const MAX_HELLO_RECORD_SEQUENCE = 2 ** 32;

/** A DTLS 1.2 server on one UDP socket (RFC 6347). Made by `listenDtls`. */
export class DtlsServer<Grant> {
  readonly counters: Counters = {
    helloVerifyRequests: 0,
    handshakes: 0,
    established: 0,
    failed: 0,
    shed: 0,
    dropped: 0,
    unsent: 0,
  };
  #options: DtlsServerOptions<Grant>;
  readonly #limits: Limits;
  #abilities: Abilities;
  readonly #random: (size: number) => Uint8Array;
  readonly #clock: () => number;
  readonly #cookies: Cookies;
  readonly #peers = new Peers<Grant>();
  #transport: Transport | undefined;

  constructor(options: DtlsServerOptions<Grant>) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#abilities = abilitiesOf(options);
    this.#random = options.random ?? randomBytes;
    this.#clock = options.clock ?? (() => performance.now());
    this.#cookies = new Cookies(this.#random, this.#clock);
  }

  /** Handshakes in flight. */
  get handshakeCount(): number {
    return this.#peers.handshakeCount;
  }

  /** Open sessions. */
  get sessionCount(): number {
    return this.#peers.sessions.size;
  }

  /** Where it listens. Throws when it does not. */
  get address(): Address {
    if (this.#transport === undefined) throw new Error('the server does not listen');
    return this.#transport.address;
  }

  /** Takes a transport. Rejects when there is none to be had. */
  async listen(open: (events: TransportEvents) => Promise<Transport>): Promise<void> {
    this.#transport = await open({
      datagram: (datagram, from) => this.#guard(() => this.#takeDatagram(datagram, from)),
      error: (error) => this.#options.onError(error),
    });
  }

  /** Shows this certificate in handshakes that begin from now on. Throws a RangeError on a key that is of no use. */
  renew(certificate: ServerCertificate): void {
    const options = { ...this.#options, certificate };
    this.#abilities = abilitiesOf(options);
    this.#options = options;
  }

  /** Ends all sessions with a close_notify, all handshakes in silence, and closes the socket. */
  async close(): Promise<void> {
    for (const handshake of [...this.#peers.handshakes]) handshake.abandon('SERVER_CLOSED');
    for (const session of [...this.#peers.sessions]) session.end('SERVER_CLOSED');
    const transport = this.#transport;
    this.#transport = undefined;
    await transport?.close();
  }

  #takeDatagram(datagram: Buffer, from: Peer): void {
    for (const record of readRecords(datagram, CONNECTION_ID_BYTES)) {
      if (record.type === CONTENT.TLS12_CID) this.#takeIdentified(record, from);
      else if (record.epoch === 0 && isClientHello(record)) this.#takeHello(record, from);
      else this.#takeByAddress(record, from);
    }
  }

  #takeIdentified(record: WireRecord, from: Peer): void {
    const owner = this.#peers.ownerOf(record.connectionId);
    if (owner === undefined) this.counters.dropped += 1;
    else owner.receive(record, from);
  }

  /**
   * The open session is asked first: only it can tell its own records. What is left, its late duplicates aside, is the
   * handshake's; a late record of the session must not look like a Finished under a wrong key.
   */
  #takeByAddress(record: WireRecord, from: Peer): void {
    const handshake = this.#peers.handshakeAt(from);
    const session = record.epoch === 0 ? undefined : this.#peers.sessionAt(from);
    if (session?.receive(record, from)) return;
    if (handshake === undefined) this.counters.dropped += 1;
    else if (!session?.owns(record)) handshake.receive(record);
  }

  /** Keeps nothing about the peer until its cookie came back (RFC 6347 4.2.1). */
  #takeHello(record: WireRecord, peer: Peer): void {
    const message = wholeHello(record);
    const hello = message && tryDecode(() => readClientHello(message.body));
    if (message === undefined || hello === undefined) {
      this.counters.dropped += 1;
      return;
    }
    const state = this.#cookies.check(hello.cookie, peer, hello.covered);
    const known = this.#peers.handshakeAt(peer);
    if (state === 'INVALID') this.#verifyHello(record, message, { hello, peer });
    else if (known?.isFor(hello)) known.repeat();
    else if (state === 'VALID') this.#begin(record, message, { hello, peer });
  }

  /** The answer bears the hello's numbers: nothing here counts on (RFC 6347 4.2.1). It is shorter than any hello. */
  #verifyHello(record: WireRecord, message: Message, { hello, peer }: { hello: ClientHello; peer: Peer }): void {
    this.counters.helloVerifyRequests += 1;
    const draft = helloVerifyRequest(this.#cookies.issue(peer, hello.covered));
    const fragment = writeMessage({ ...draft, messageSequence: message.messageSequence });
    this.#send(peer, writeRecord({ ...record, version: DTLS_1_0, fragment }));
  }

  #begin(record: WireRecord, message: Message, { hello, peer }: { hello: ClientHello; peer: Peer }): void {
    if (!this.#hasPlaceFor(peer)) {
      this.counters.shed += 1;
      return;
    }
    this.#cookies.spend(hello.cookie, peer, hello.covered);
    this.#peers.handshakeAt(peer)?.abandon('REPLACED');
    this.counters.handshakes += 1;
    const agreement = this.#negotiate(record, hello, peer);
    if (agreement === undefined) return;
    const ids = this.#idsFor(agreement);
    const opening = { peer, hello, message, recordSequence: record.sequence, agreement, ids };
    this.#start(opening);
  }

  #hasPlaceFor(peer: Peer): boolean {
    const { handshakes, handshakesPerAddress, sessions } = this.#limits;
    // A client that begins anew takes the place of what it had.
    if (this.#peers.handshakeAt(peer) !== undefined) return true;
    const hasSession = this.#peers.sessionAt(peer) !== undefined || this.sessionCount + this.handshakeCount < sessions;
    return hasSession && this.handshakeCount < handshakes && this.#peers.handshakesOf(peer) < handshakesPerAddress;
  }

  #negotiate(record: WireRecord, hello: ClientHello, peer: Peer): Agreement | undefined {
    try {
      return negotiate(hello, this.#abilities);
    } catch (error) {
      if (!(error instanceof FatalAlert)) throw error;
      const alert = { ...record, type: CONTENT.ALERT, version: DTLS_1_2, fragment: alertBody(error.alert) };
      this.#send(peer, writeRecord(alert));
      this.#failed({ reason: 'NO_AGREEMENT', peer, identity: undefined, message: error.message });
      return undefined;
    }
  }

  #idsFor({ clientConnectionId }: Agreement): ConnectionIds | undefined {
    if (clientConnectionId === undefined) return undefined;
    return { incoming: Buffer.from(this.#random(CONNECTION_ID_BYTES)), outgoing: clientConnectionId };
  }

  #start(opening: Opening): void {
    const { ids, peer } = opening;
    const forget = () => {
      this.#peers.removeHandshake(handshake);
      if (ids !== undefined) this.#peers.setOwner(ids.incoming, undefined);
    };
    const settings = {
      ...this.#options,
      limits: this.#limits,
      clock: this.#clock,
      random: this.#random,
    };
    const handshake = new Handshake<Grant>(settings, opening, {
      send: (datagram) => this.#send(peer, datagram),
      established: (established) => {
        forget();
        this.#open(opening, established);
      },
      failed: (failure) => {
        forget();
        this.#failed(failure);
      },
    });
    this.#peers.addHandshake(handshake);
    if (ids !== undefined) this.#peers.setOwner(ids.incoming, handshake);
    handshake.start();
  }

  #open({ agreement, ids, peer }: Opening, established: Established<Grant>): void {
    this.counters.established += 1;
    // RFC 6347 4.2.8: what was at this address is given up only now that the new one is authentic.
    this.#peers.sessionAt(peer)?.end('REPLACED');
    const session: OpenSession<Grant> = new OpenSession<Grant>(established, {
      peer,
      suite: agreement.suite.name,
      hasConnectionId: ids !== undefined,
      maxDataBytes: agreement.maxFragment?.bytes ?? MAX_PLAINTEXT_BYTES,
      idleMs: this.#limits.idleMs,
      maxForgeries: this.#limits.forgeriesPerSession,
      send: (to, datagram) => this.#send(to, datagram),
      moved: (place) => this.#peers.leavePlace(session, place),
      closed: () => {
        this.#peers.removeSession(session);
        if (ids !== undefined) this.#peers.setOwner(ids.incoming, undefined);
      },
      onError: this.#options.onError,
    });
    this.#peers.addSession(session);
    if (ids !== undefined) this.#peers.setOwner(ids.incoming, session);
    try {
      session.attach(this.#options.onSession(session));
    } catch (error) {
      session.close();
      this.#options.onError(error);
    }
  }

  #failed(failure: Failure): void {
    this.counters.failed += 1;
    this.#guard(() => this.#options.onFailure?.(failure));
  }

  #send(peer: Peer, datagram: Buffer): boolean {
    const isSent = this.#transport?.send(peer, datagram) ?? false;
    if (!isSent) this.counters.unsent += 1;
    return isSent;
  }

  /** One client's trouble, or a callback's, is not the server's end. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.onError(error);
    }
  }
}

/** Starts a server. Rejects when the address is taken; throws a RangeError on a key or a suite that is of no use. */
export async function listenDtls<Grant>(
  options: DtlsServerOptions<Grant>,
  address: Address,
): Promise<DtlsServer<Grant>> {
  const server = new DtlsServer(options);
  await server.listen((events) => listenUdp(address, events));
  return server;
}

function abilitiesOf<Grant>({ suites, derive, certificate, hasConnectionId }: DtlsServerOptions<Grant>): Abilities {
  if (certificate !== undefined && !isFitKey(certificate.key)) throw new RangeError('the key is not fit to sign');
  return {
    suites: suites === undefined ? SUITES : suitesNamed(suites),
    hasPsk: derive !== undefined,
    certificateKey: certificate?.key,
    hasConnectionId: hasConnectionId ?? true,
  };
}

function isClientHello({ type, fragment }: WireRecord): boolean {
  return type === CONTENT.HANDSHAKE && fragment[0] === HANDSHAKE.CLIENT_HELLO;
}

/** A hello must come in one piece: keeping parts of it would be state for anybody. */
function wholeHello({ fragment, sequence }: WireRecord): Message | undefined {
  const [first, ...more] = tryDecode(() => readFragments(fragment)) ?? [];
  if (first === undefined || more.length > 0 || first.bytes.length !== first.length) return undefined;
  if (sequence > MAX_HELLO_RECORD_SEQUENCE) return undefined;
  return first.messageSequence > MAX_HELLO_SEQUENCE ? undefined : messageOf(first);
}

function messageOf({ type, messageSequence, bytes }: Fragment): Message {
  return { type, messageSequence, body: bytes };
}
