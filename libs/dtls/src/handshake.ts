import { timingSafeEqual } from 'node:crypto';
import { type AlertName, alertBody, FatalAlert } from './alerts.ts';
import type { Attempt, FailureReason, Peer, PskDerivation, Verdict } from './api.ts';
import { DecodeError } from './bytes.ts';
import { type ClientCertificate, checkPossession, readClientCertificate } from './client-certificate.ts';
import type { ClientHello } from './client-hello.ts';
import { readClientKeyExchange } from './client-key-exchange.ts';
import { CONTENT, HANDSHAKE, RANDOM_BYTES } from './codes.ts';
import { Conversation } from './conversation.ts';
import type { Message } from './fragments.ts';
import type { HandshakeEvents, HandshakeSettings, Opening } from './handshake-parts.ts';
import { type Heard, Incoming } from './incoming.ts';
import { VERIFY_DATA_BYTES } from './key-schedule.ts';
import { MAX_PLAINTEXT_BYTES } from './limits.ts';
import { usesCertificate } from './negotiate.ts';
import { Outgoing } from './outgoing.ts';
import type { EpochKeys } from './protection.ts';
import { RecordLayer } from './record-layer.ts';
import type { WireRecord } from './records.ts';
import { Retransmission } from './retransmission.ts';
import { serverFlight } from './server-messages.ts';

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

/** The server's side of one handshake, from the hello with a good cookie to its own Finished (RFC 6347 4.2). */
export class Handshake<Grant> {
  readonly peer: Peer;
  readonly #settings: HandshakeSettings<Grant>;
  readonly #opening: Opening;
  readonly #events: HandshakeEvents<Grant>;
  readonly #conversation: Conversation;
  readonly #records: RecordLayer;
  readonly #incoming: Incoming;
  readonly #outgoing: Outgoing;
  readonly #retransmission: Retransmission;
  #step: Step;
  #deadline: NodeJS.Timeout | undefined;
  #certificate: ClientCertificate | undefined;
  #derivation: PskDerivation | undefined;

  constructor(settings: HandshakeSettings<Grant>, opening: Opening, events: HandshakeEvents<Grant>) {
    const { agreement, hello, message } = opening;
    const hasCertificate = usesCertificate(agreement.suite);
    this.peer = opening.peer;
    this.#settings = settings;
    this.#opening = opening;
    this.#events = events;
    const randoms = { client: hello.random, server: Buffer.from(settings.random(RANDOM_BYTES)) };
    this.#conversation = new Conversation(agreement, randoms);
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
    this.#step = hasCertificate ? 'CERTIFICATE' : 'KEY_EXCHANGE';
  }

  /** Sends the first flight. */
  start(): void {
    const { handshakeMs } = this.#settings.limits;
    this.#deadline = setTimeout(() => this.#fail('TIMED_OUT', 'the client fell silent'), handshakeMs);
    this.#guard(() => this.#begin());
  }

  /** Whether this handshake answers that hello. */
  isFor(hello: ClientHello): boolean {
    return hello.random.equals(this.#conversation.randoms.client);
  }

  /** The client repeats its hello, so it may not have heard the answer (RFC 6347 4.2.4). */
  repeat(): void {
    this.#retransmission.nudge();
  }

  /** Takes a record of the client's in. */
  receive(record: WireRecord): void {
    if (this.#step !== 'OVER') this.#guard(() => this.#hear(this.#incoming.receive(record)));
  }

  /** Gives up, in silence. */
  abandon(reason: 'REPLACED' | 'SERVER_CLOSED'): void {
    this.#fail(reason, 'given up here');
  }

  #begin(): void {
    const { agreement, hello, ids, message } = this.#opening;
    this.#conversation.add(message);
    const drafts = serverFlight({
      agreement,
      randoms: this.#conversation.randoms,
      connectionId: ids?.incoming ?? Buffer.alloc(0),
      keyShare: this.#conversation.keyShare,
      certificate: this.#settings.certificate,
      hasPointFormats: hello.hasPointFormats,
      hasSecureRenegotiation: hello.hasSecureRenegotiation,
    });
    for (const draft of drafts) this.#conversation.add(this.#outgoing.add(0, draft));
    this.#retransmission.start();
  }

  #hear(heard: Heard): void {
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
    this.#conversation.add(message);
    this.#step = 'KEY_EXCHANGE';
  }

  #takeKeyExchange(message: Message): void {
    const { suite } = this.#opening.agreement;
    const { identity, publicKey } = readClientKeyExchange(message.body, suite.keyExchange);
    this.#conversation.add(message);
    const ecdheSecret = this.#conversation.agree(publicKey);
    if (this.#certificate !== undefined) {
      this.#step = 'CERTIFICATE_VERIFY';
      this.#useKeys(this.#conversation.useMasters([this.#conversation.masterOf(ecdheSecret)]));
      return;
    }
    this.#step = 'DERIVING';
    this.#retransmission.pause();
    this.#derivation = { identity, hash: suite.prf, seed: this.#conversation.seed(), ecdheSecret };
    this.#ask(this.#settings.derive?.(this.#derivation, this.peer), (masters) => {
      const keys = this.#conversation.useMasters(masters);
      this.#step = 'FINISHED';
      this.#retransmission.resume();
      this.#useKeys(keys);
    });
  }

  #useKeys(candidates: readonly EpochKeys[]): void {
    this.#hear(this.#incoming.useKeys(candidates));
  }

  #takeCertificateVerify(message: Message): void {
    if (this.#certificate === undefined) throw new FatalAlert('UNEXPECTED_MESSAGE', 'a signature without certificate');
    checkPossession(message.body, this.#certificate.key, this.#conversation.messages());
    this.#conversation.add(message);
    this.#step = 'FINISHED';
  }

  #takeFinished(message: Message): void {
    const transcriptHash = this.#conversation.hash();
    const expected = this.#conversation.verifyData('client', this.#incoming.candidate);
    if (message.body.length !== VERIFY_DATA_BYTES || !timingSafeEqual(message.body, expected)) {
      throw new FatalAlert('DECRYPT_ERROR', 'the Finished says something else');
    }
    this.#conversation.add(message);
    this.#step = 'ADMITTING';
    this.#retransmission.pause();
    const attempt = {
      peer: this.peer,
      suite: this.#opening.agreement.suite.name,
      proof: this.#proof(transcriptHash, message.body),
    };
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
    const body = this.#conversation.verifyData('server', this.#incoming.candidate);
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
    const rejected = () => this.#fail('NO_DECISION', 'no answer was to be had', 'INTERNAL_ERROR');
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
    if (this.#step === 'OVER') return;
    if (alert !== undefined) this.#events.send(this.#records.write(0, CONTENT.ALERT, alertBody(alert)));
    const identity = this.#derivation?.identity;
    this.#end();
    this.#events.failed({ reason, peer: this.peer, identity, message });
  }

  #end(): void {
    this.#step = 'OVER';
    clearTimeout(this.#deadline);
    this.#retransmission.pause();
    this.#conversation.wipe();
    this.#derivation?.ecdheSecret.fill(0);
  }

  #sendFlight(count: number): void {
    const payloadBytes = count < TRANSMISSIONS_BEFORE_SMALL ? undefined : SMALL_PAYLOAD_BYTES;
    for (const datagram of this.#outgoing.datagrams(payloadBytes)) this.#events.send(datagram);
  }
}
