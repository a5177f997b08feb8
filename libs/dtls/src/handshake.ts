import { timingSafeEqual } from 'node:crypto';
import { type AlertName, alertBody, FatalAlert } from './alerts.ts';
import type { Attempt, DtlsServerOptions, Failure, FailureReason, Peer, PskDerivation, Verdict } from './api.ts';
import { DecodeError } from './bytes.ts';
import { type ClientCertificate, checkPossession, readClientCertificate } from './client-certificate.ts';
import type { ClientHello } from './client-hello.ts';
import { readClientKeyExchange } from './client-key-exchange.ts';
import { CONTENT, HANDSHAKE, RANDOM_BYTES } from './codes.ts';
import type { Message } from './fragments.ts';
import { type Heard, Incoming } from './incoming.ts';
import {
  MASTER_SECRET_BYTES,
  type MasterSeed,
  masterSecret,
  type Randoms,
  VERIFY_DATA_BYTES,
  verifyData,
} from './key-schedule.ts';
import { type KeyShare, makeKeyShare } from './key-share.ts';
import { type Limits, MAX_PLAINTEXT_BYTES } from './limits.ts';
import { type Agreement, usesCertificate } from './negotiate.ts';
import { Outgoing } from './outgoing.ts';
import { epochKeys } from './protection.ts';
import { type ConnectionIds, RecordLayer } from './record-layer.ts';
import type { WireRecord } from './records.ts';
import { Retransmission } from './retransmission.ts';
import { serverFlight } from './server-messages.ts';
import { Transcript } from './transcript.ts';

/** What all handshakes of a server share. */
export type HandshakeSettings<Grant> = Pick<
  DtlsServerOptions<Grant>,
  'derive' | 'certificate' | 'admit' | 'onError'
> & {
  readonly limits: Limits;
  readonly clock: () => number;
  readonly random: (size: number) => Uint8Array;
};

/** What one handshake begins with: a hello whose cookie was good. */
export type Opening = {
  readonly peer: Peer;
  readonly hello: ClientHello;
  /** The hello as it came, with its number. */
  readonly message: Message;
  readonly recordSequence: number;
  readonly agreement: Agreement;
  /** The ids, if they were agreed on. */
  readonly ids: ConnectionIds | undefined;
};

/** What is heard of a handshake. After `established` or `failed` nothing more. */
export type HandshakeEvents<Grant> = {
  readonly send: (datagram: Buffer) => void;
  /** The last flight is out. */
  readonly established: (result: Established<Grant>) => void;
  readonly failed: (failure: Failure) => void;
};

/** What a session is made from. */
export type Established<Grant> = {
  readonly grant: Grant;
  readonly records: RecordLayer;
  /** ChangeCipherSpec and Finished, for a client that has not heard them. */
  readonly finalFlight: Outgoing;
};

/** What is waited for: a message of the client's, or an answer from outside. */
type Step = 'CERTIFICATE' | 'KEY_EXCHANGE' | 'DERIVING' | 'CERTIFICATE_VERIFY' | 'FINISHED' | 'ADMITTING' | 'OVER';

const AWAITED: Readonly<Partial<Record<Step, number>>> = {
  CERTIFICATE: HANDSHAKE.CERTIFICATE,
  KEY_EXCHANGE: HANDSHAKE.CLIENT_KEY_EXCHANGE,
  CERTIFICATE_VERIFY: HANDSHAKE.CERTIFICATE_VERIFY,
  FINISHED: HANDSHAKE.FINISHED,
};

/** A chain of eight certificates; or a ClientKeyExchange with the longest identity, and the Finished. */
const MAX_MESSAGES_BYTES = { withCertificate: 16_384, withPsk: 1_024 } as const;

/** After so many transmissions without an answer datagrams become small: the path may not carry more (RFC 6347 4.1.1.1). */
const TRANSMISSIONS_BEFORE_SMALL = 3;
const SMALL_PAYLOAD_BYTES = 548;

/** A device has two credentials. */
const MAX_MASTER_SECRETS = 2;

/** The server's side of one handshake, from the hello with a good cookie to its own Finished (RFC 6347 4.2). */
export class Handshake<Grant> {
  readonly peer: Peer;
  readonly #settings: HandshakeSettings<Grant>;
  readonly #opening: Opening;
  readonly #events: HandshakeEvents<Grant>;
  readonly #randoms: Randoms;
  readonly #records: RecordLayer;
  readonly #incoming: Incoming;
  readonly #outgoing: Outgoing;
  readonly #retransmission: Retransmission;
  readonly #transcript = new Transcript();
  readonly #keyShare: KeyShare | undefined;
  #step: Step;
  #deadline: NodeJS.Timeout | undefined;
  #certificate: ClientCertificate | undefined;
  #derivation: PskDerivation | undefined;
  #masters: readonly Buffer[] = [];

  constructor(settings: HandshakeSettings<Grant>, opening: Opening, events: HandshakeEvents<Grant>) {
    const { agreement, hello, message } = opening;
    const hasCertificate = usesCertificate(agreement.suite);
    this.peer = opening.peer;
    this.#settings = settings;
    this.#opening = opening;
    this.#events = events;
    this.#randoms = { client: hello.random, server: Buffer.from(settings.random(RANDOM_BYTES)) };
    this.#records = new RecordLayer(opening.recordSequence, opening.ids);
    const maxBytes = hasCertificate ? MAX_MESSAGES_BYTES.withCertificate : MAX_MESSAGES_BYTES.withPsk;
    this.#incoming = new Incoming({
      records: this.#records,
      suite: agreement.suite,
      nextSequence: message.messageSequence + 1,
      maxBytes,
    });
    const maxFragmentBytes = agreement.maxFragment?.bytes ?? MAX_PLAINTEXT_BYTES;
    const sizes = { payloadBytes: settings.limits.payloadBytes, maxFragmentBytes };
    // RFC 6347 4.2.2: a HelloVerifyRequest took the number of the first hello, so this flight has the second's.
    this.#outgoing = new Outgoing(this.#records, sizes, message.messageSequence);
    this.#retransmission = new Retransmission({
      send: (count) => this.#sendFlight(count),
      firstMs: settings.limits.retransmitMs,
      clock: settings.clock,
    });
    this.#keyShare = agreement.group === undefined ? undefined : makeKeyShare(agreement.group);
    this.#step = hasCertificate ? 'CERTIFICATE' : 'KEY_EXCHANGE';
  }

  /** Sends the first flight. */
  start(): void {
    const { agreement, hello, ids, message } = this.#opening;
    this.#transcript.add(message);
    const drafts = serverFlight({
      agreement,
      randoms: this.#randoms,
      connectionId: ids?.incoming ?? Buffer.alloc(0),
      keyShare: this.#keyShare,
      certificate: this.#settings.certificate,
      hasPointFormats: hello.hasPointFormats,
      hasSecureRenegotiation: hello.hasSecureRenegotiation,
    });
    for (const draft of drafts) this.#transcript.add(this.#outgoing.add(0, draft));
    this.#deadline = setTimeout(
      () => this.#fail('TIMED_OUT', 'the client fell silent'),
      this.#settings.limits.handshakeMs,
    );
    this.#retransmission.start();
  }

  /** Whether this handshake answers that hello. */
  isFor(hello: ClientHello): boolean {
    return hello.random.equals(this.#randoms.client);
  }

  /** The client repeats its hello. */
  repeat(): void {
    this.#retransmission.nudge();
  }

  /** Takes a record of the client's in. */
  receive(record: WireRecord): void {
    if (this.#step !== 'OVER') this.#guard(() => this.#hear(this.#incoming.receive(record)));
  }

  /** Gives up, in silence. */
  abandon(reason: 'REPLACED' | 'SERVER_CLOSED'): void {
    if (this.#step !== 'OVER') this.#fail(reason, 'given up here');
  }

  #hear(heard: Heard): void {
    if (heard === 'REPEATED') this.#retransmission.nudge();
    const isWrongKey = heard === 'UNOPENED_FINISHED' && this.#step === 'FINISHED' && this.#derivation !== undefined;
    if (isWrongKey) this.#fail('WRONG_KEY', 'the Finished does not open', 'DECRYPT_ERROR');
    else if (heard === 'ALERT') this.#fail('PROTOCOL_ERROR', 'the client ended the handshake');
    else this.#advance();
  }

  #advance(): void {
    for (let awaited = AWAITED[this.#step]; awaited !== undefined; awaited = AWAITED[this.#step]) {
      const message = this.#incoming.take();
      if (message === undefined) return;
      if (message.type !== awaited) throw new FatalAlert('UNEXPECTED_MESSAGE', 'a message out of its turn');
      this.#take(message);
    }
  }

  #take(message: Message): void {
    if (message.type === HANDSHAKE.CERTIFICATE) this.#takeCertificate(message);
    if (message.type === HANDSHAKE.CLIENT_KEY_EXCHANGE) this.#takeKeyExchange(message);
    if (message.type === HANDSHAKE.CERTIFICATE_VERIFY) this.#takeCertificateVerify(message);
    if (message.type === HANDSHAKE.FINISHED) this.#takeFinished(message);
  }

  #takeCertificate(message: Message): void {
    this.#certificate = readClientCertificate(message.body);
    this.#transcript.add(message);
    this.#step = 'KEY_EXCHANGE';
  }

  #takeKeyExchange(message: Message): void {
    const { suite } = this.#opening.agreement;
    const { identity, publicKey } = readClientKeyExchange(message.body, suite.keyExchange);
    this.#transcript.add(message);
    const ecdheSecret = this.#keyShare?.agree(publicKey) ?? Buffer.alloc(0);
    if (this.#certificate !== undefined) {
      this.#step = 'CERTIFICATE_VERIFY';
      this.#useMasters([masterSecret(suite.prf, ecdheSecret, this.#seed())]);
      return;
    }
    this.#step = 'DERIVING';
    this.#retransmission.pause();
    this.#derivation = { identity, hash: suite.prf, seed: this.#seed(), ecdheSecret };
    this.#ask(this.#settings.derive?.(this.#derivation, this.peer), (masters) => {
      this.#step = 'FINISHED';
      this.#retransmission.resume();
      this.#useMasters(checkMasters(masters));
    });
  }

  /** Called right behind the ClientKeyExchange, where the session hash ends (RFC 7627 3). */
  #seed(): MasterSeed {
    const { agreement } = this.#opening;
    if (!agreement.hasExtendedMasterSecret) {
      return { kind: 'RANDOMS', bytes: Buffer.concat([this.#randoms.client, this.#randoms.server]) };
    }
    return { kind: 'SESSION_HASH', bytes: this.#transcript.hash(agreement.suite.prf) };
  }

  #useMasters(masters: readonly Buffer[]): void {
    this.#masters = masters;
    const { suite } = this.#opening.agreement;
    this.#hear(this.#incoming.useKeys(masters.map((master) => epochKeys(suite, master, this.#randoms))));
  }

  get #master(): Buffer {
    return this.#masters[this.#incoming.candidate] ?? Buffer.alloc(0);
  }

  #takeCertificateVerify(message: Message): void {
    if (this.#certificate === undefined) throw new FatalAlert('UNEXPECTED_MESSAGE', 'a signature without certificate');
    checkPossession(message.body, this.#certificate.key, this.#transcript.bytes());
    this.#transcript.add(message);
    this.#step = 'FINISHED';
  }

  #takeFinished(message: Message): void {
    const { suite } = this.#opening.agreement;
    const transcriptHash = this.#transcript.hash(suite.prf);
    const expected = verifyData(suite.prf, this.#master, 'client', transcriptHash);
    if (message.body.length !== VERIFY_DATA_BYTES || !timingSafeEqual(message.body, expected)) {
      throw new FatalAlert('DECRYPT_ERROR', 'the Finished says something else');
    }
    this.#transcript.add(message);
    this.#step = 'ADMITTING';
    this.#retransmission.pause();
    const attempt = { peer: this.peer, suite: suite.name, proof: this.#proof(transcriptHash, message.body) };
    this.#ask(this.#settings.admit(attempt), (verdict) => this.#answer(verdict));
  }

  #proof(transcriptHash: Buffer, verify: Buffer): Attempt['proof'] {
    if (this.#derivation === undefined) return { kind: 'CERTIFICATE', chain: this.#certificate?.chain ?? [] };
    const { candidate } = this.#incoming;
    return { kind: 'PSK', derivation: this.#derivation, candidate, transcriptHash, verifyData: verify };
  }

  #answer(verdict: Verdict<Grant>): void {
    if (!verdict.isGranted) {
      this.#fail('REFUSED', 'admit refused', verdict.alert);
      return;
    }
    const { prf } = this.#opening.agreement.suite;
    const body = verifyData(prf, this.#master, 'server', this.#transcript.hash(prf));
    this.#end();
    this.#outgoing.changeCipherSpec();
    this.#outgoing.add(1, { type: HANDSHAKE.FINISHED, body });
    for (const datagram of this.#outgoing.datagrams()) this.#events.send(datagram);
    this.#events.established({ grant: verdict.grant, records: this.#records, finalFlight: this.#outgoing });
  }

  /** Waits for an answer from outside; one that comes when the handshake is over is dropped. */
  #ask<T>(question: Promise<T> | undefined, use: (answer: T) => void): void {
    const answered = (answer: T) => {
      if (this.#step !== 'OVER') this.#guard(() => use(answer));
    };
    const rejected = () => {
      if (this.#step !== 'OVER') this.#fail('NO_DECISION', 'no answer was to be had', 'INTERNAL_ERROR');
    };
    (question ?? Promise.reject(new Error('nobody to ask'))).then(answered, rejected);
  }

  /** Ends the handshake when the work throws. What is neither the client's fault nor foreseen is reported as well. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof FatalAlert) this.#fail('PROTOCOL_ERROR', error.message, error.alert);
      else if (error instanceof DecodeError) this.#fail('PROTOCOL_ERROR', error.message, 'DECODE_ERROR');
      else {
        this.#fail('NO_DECISION', 'an unforeseen error', 'INTERNAL_ERROR');
        this.#settings.onError(error);
      }
    }
  }

  /** Alerts go out in clear: the client expects nothing sealed before the server's ChangeCipherSpec. */
  #fail(reason: FailureReason, message: string, alert?: AlertName): void {
    if (alert !== undefined) this.#events.send(this.#records.write(0, CONTENT.ALERT, alertBody(alert)));
    const identity = this.#derivation?.identity;
    this.#end();
    this.#events.failed({ reason, peer: this.peer, identity, message });
  }

  #end(): void {
    this.#step = 'OVER';
    clearTimeout(this.#deadline);
    this.#retransmission.pause();
    // As far as JavaScript can forget: other copies wait for the collector.
    for (const master of this.#masters) master.fill(0);
    this.#derivation?.ecdheSecret.fill(0);
  }

  #sendFlight(count: number): void {
    const payloadBytes = count < TRANSMISSIONS_BEFORE_SMALL ? undefined : SMALL_PAYLOAD_BYTES;
    for (const datagram of this.#outgoing.datagrams(payloadBytes)) this.#events.send(datagram);
  }
}

/** Copies, so that wiping them is nobody else's loss. */
function checkMasters(masters: readonly Uint8Array[]): Buffer[] {
  const isRight = masters.length > 0 && masters.length <= MAX_MASTER_SECRETS;
  if (!isRight || masters.some(({ length }) => length !== MASTER_SECRET_BYTES)) {
    throw new RangeError('derive gives one or two master secrets of 48 bytes');
  }
  return masters.map((master) => Buffer.from(master));
}
