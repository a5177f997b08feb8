import type { Random } from '@latchkey/kernel';
import { BlockStore, sliceOf } from './blocks.ts';
import type { ByteBudget } from './byte-budget.ts';
import { EMPTY, FORMAT, familyOf, METHOD, OPTION, RESPONSE } from './codes.ts';
import { type Content, Exchanges, type Reply } from './exchanges.ts';
import { decodeMessage, emptyMessage, encodeMessage, type Message, type Option } from './message.ts';
import { isCritical, readRequestOptions, textOption, uintOption } from './options.ts';
import { RecentMessages } from './recent.ts';
import { type Ending, Transmissions } from './transmissions.ts';

/** A request whose body is whole. */
export type CoapRequest = {
  readonly method: number;
  readonly path: readonly string[];
  readonly query: readonly string[];
  readonly accept: number | undefined;
  readonly payload: Buffer;
};

/** A request to the client. Its payload fits in a message. */
export type OwnRequest = { readonly method: number; readonly path: readonly string[]; readonly payload: Buffer };

/** The answer to it. */
export type CoapResponse = {
  readonly code: number;
  readonly options?: readonly Option[];
  readonly payload?: Buffer;
  /** The client may observe what it asked for (RFC 7641): what is notified from then on goes to it. */
  readonly isObservable?: boolean;
  /** Called when it has been sent for the first time. */
  readonly sent?: () => void;
};

/** What a conversation needs. */
export type ConversationOptions = {
  /** Sends a datagram, unreliably. */
  readonly send: (datagram: Buffer) => void;
  readonly serve: (request: CoapRequest) => Promise<CoapResponse>;
  readonly memory: ByteBudget;
  readonly monotonic: () => number;
  readonly random: Random;
  /** `serve` failed; the client is told 5.00. */
  readonly onError: (error: unknown) => void;
  /** See Transmissions. */
  readonly ackMs?: number | undefined;
  /** How long an answer may take before the request is acknowledged without it. */
  readonly separateMs?: number | undefined;
};

/** A client whose first retransmission comes after 2 s at the earliest is to hear something before (RFC 7252 5.2.2). */
const SEPARATE_MS = 1_000;

/** Requests and notifications under way and answers that are not acknowledged; a device has one (NSTART, RFC 7252 4.7). */
const MAX_UNDER_WAY = 8;

/** Seconds after which a client may come again. */
const RETRY_S = 5;

/** Bytes of a token of our own: nobody else can send over this session, so it need not be long (RFC 7252 5.3.1). */
const TOKEN_BYTES = 4;

const NO_BYTES = Buffer.alloc(0);

/** Come again later, and when (RFC 7252 5.9.3.4). */
export const BUSY: CoapResponse = { code: RESPONSE.UNAVAILABLE, options: [uintOption(OPTION.MAX_AGE, RETRY_S)] };

/** What goes down is bytes, whatever they mean. */
const OCTETS = uintOption(OPTION.CONTENT_FORMAT, FORMAT.OCTETS);

/** Passes a notification's payload on; false: it could not be, and is to come again. */
export type Notified = (payload: Buffer) => Promise<boolean>;

/** The client as an observer. */
type Observer = { readonly token: Buffer; sequence: number };

/** A sequence number has 24 bits (RFC 7641 3.4). */
const MAX_SEQUENCE = 0xffffff;

type Observation = { readonly token: Buffer; readonly notified: Notified };

/** The message layer of RFC 7252 towards one client, over a transport that has proved who it is. */
export class Conversation {
  readonly #options: ConversationOptions;
  readonly #recent: RecentMessages;
  readonly #transmissions: Transmissions;
  readonly #exchanges: Exchanges;
  readonly #blocks: BlockStore;
  #nextToken: number;
  #observation: Observation | undefined;
  #observer: Observer | undefined;
  #underWay = 0;
  #isClosed = false;

  constructor(options: ConversationOptions) {
    const { send, random, ackMs, memory, monotonic } = options;
    this.#options = options;
    this.#recent = new RecentMessages(monotonic);
    this.#transmissions = new Transmissions({ send, random, ackMs });
    this.#exchanges = new Exchanges(this.#transmissions);
    this.#blocks = new BlockStore(memory, monotonic);
    this.#nextToken = Buffer.from(random(TOKEN_BYTES)).readUInt32BE(0);
  }

  /** Takes a datagram in. Never throws. */
  receive(datagram: Buffer): void {
    const decoded = decodeMessage(datagram);
    if (this.#isClosed || decoded.kind === 'NOTHING') return;
    if (decoded.kind === 'MESSAGE') this.#take(decoded.message);
    else if (decoded.type === 'CON') this.#reset(decoded.id); // RFC 7252 4.2; all else is passed over
  }

  /**
   * Observes a resource of the client's (RFC 7641); an observation from before ends. Each notification is acknowledged when
   * it was passed on, so that the client sends one again that was not. It is to follow a request of the client's, which was
   * let in and whose place it takes: nobody who was told that it is observed is left out.
   */
  observe(path: readonly string[], notified: Notified): void {
    if (this.#isClosed) return;
    const token = this.#takeToken();
    const options = [uintOption(OPTION.OBSERVE, 0), ...path.map((part) => textOption(OPTION.URI_PATH, part))];
    const observation = { token, notified };
    this.#observation = observation;
    this.#confirm({ code: METHOD.GET, token, options, payload: NO_BYTES }, (ending) => {
      if (ending !== 'ACKNOWLEDGED' && this.#observation === observation) this.#observation = undefined;
    });
  }

  /** Asks the client for something. Never rejects. */
  ask({ method, path, payload }: OwnRequest): Promise<Reply> {
    if (this.#isClosed) return Promise.resolve({ outcome: 'CLOSED' });
    const options = [...path.map((part) => textOption(OPTION.URI_PATH, part)), OCTETS];
    return this.#exchanges.ask({ code: method, token: this.#takeToken(), options, payload });
  }

  /** The client is no observer any more, and is not told. */
  forgetObserver(): void {
    this.#observer = undefined;
  }

  /** Whether the client observes. */
  get isObserved(): boolean {
    return this.#observer !== undefined;
  }

  /** Tells the client as an observer; one that does not acknowledge it is none any more (RFC 7641 4.5). */
  notify(payload: Buffer): Promise<Ending> {
    const observer = this.#observer;
    if (observer === undefined) return Promise.resolve('RESET');
    observer.sequence = (observer.sequence + 1) & MAX_SEQUENCE;
    const options = [uintOption(OPTION.OBSERVE, observer.sequence), OCTETS];
    return new Promise((resolve) => {
      this.#confirm({ code: RESPONSE.CONTENT, token: observer.token, options, payload }, (ending) => {
        if (ending !== 'ACKNOWLEDGED' && this.#observer === observer) this.#observer = undefined;
        resolve(ending);
      });
    });
  }

  /** Takes no more notifications. */
  endObservation(): void {
    this.#observation = undefined;
  }

  /** Sends nothing more and forgets all. */
  close(): void {
    this.#isClosed = true;
    this.#observation = undefined;
    this.#observer = undefined;
    this.#exchanges.close();
    this.#transmissions.close();
    this.#blocks.close();
  }

  get #load(): number {
    return this.#underWay + this.#transmissions.size;
  }

  #take(message: Message): void {
    const { type, code, id } = message;
    if (type === 'RST') this.#transmissions.settle(id, 'RESET');
    else if (type === 'ACK') {
      this.#transmissions.settle(id, 'ACKNOWLEDGED');
      if (familyOf(code) > 0 && this.#exchanges.take(message) === 'STRANGE') this.#takeFirst(message);
    } else if (code === EMPTY) {
      if (type === 'CON') this.#reset(id); // a ping (RFC 7252 4.3)
    } else if (this.#recent.enter(id)) {
      if (familyOf(code) === 0) void this.#takeRequest(message);
      else void this.#takeResponse(message);
    } else if (type === 'CON') {
      const reply = this.#recent.replyTo(id);
      if (reply !== undefined) this.#options.send(reply);
    }
  }

  /** Acknowledges at once with the answer, or without it when it takes longer (RFC 7252 5.2.1, 5.2.2). */
  async #takeRequest(request: Message): Promise<void> {
    const { type, id } = request;
    if (this.#load >= MAX_UNDER_WAY) {
      this.#recent.forget(id); // so that the same message may come again
      this.#respond(request, BUSY, false);
      return;
    }
    let isAcknowledged = false;
    const acknowledge = () => {
      isAcknowledged = true;
      this.#reply(id, emptyMessage('ACK', id));
    };
    const timer = setTimeout(type === 'CON' ? acknowledge : () => {}, this.#options.separateMs ?? SEPARATE_MS);
    this.#underWay += 1;
    const response = await this.#answer(request);
    this.#underWay -= 1;
    clearTimeout(timer);
    if (response === undefined || this.#isClosed) return;
    this.#respond(request, response, isAcknowledged);
    response.sent?.();
  }

  #respond({ type, id, token }: Message, response: CoapResponse, isAcknowledged: boolean): void {
    const { code, options = [], payload = NO_BYTES } = response;
    const content = { code, token, options, payload };
    if (type === 'NON') {
      this.#options.send(encodeMessage({ type: 'NON', id: this.#transmissions.takeId(), ...content }));
    } else if (isAcknowledged) this.#confirm(content, () => {});
    else this.#reply(id, encodeMessage({ type: 'ACK', id, ...content }));
  }

  /** Undefined: none is due. Never rejects. */
  async #answer({ type, code: method, token, options: given, payload }: Message): Promise<CoapResponse | undefined> {
    const options = readRequestOptions(given);
    // RFC 7252 5.4.1: a confirmable request is told so, another one is passed over.
    if (options === undefined) return type === 'CON' ? { code: RESPONSE.BAD_OPTION } : undefined;
    if (options.isForProxy) return { code: RESPONSE.PROXYING };
    const body = this.#blocks.take({ method, options, payload });
    if (body.outcome === 'ANSWER') return body;
    const { path, query, accept } = options;
    try {
      const response = await this.#options.serve({ method, path, query, accept, payload: body.payload });
      const slice = sliceOf(response.payload ?? NO_BYTES, response.payload && options.block2);
      if (slice === undefined) return { code: RESPONSE.BAD_REQUEST };
      const observed = response.isObservable ? this.#observed(token, options.observe) : [];
      const all = [...observed, ...body.options, ...(response.options ?? []), ...slice.options];
      return { ...response, options: all, payload: slice.payload };
    } catch (error) {
      this.#options.onError(error);
      return { code: RESPONSE.INTERNAL_ERROR };
    }
  }

  /** Begins or ends an observation by the client; gives the option that says so (RFC 7641 2). */
  #observed(token: Buffer, observe: number | undefined): readonly Option[] {
    if (observe === 0) this.#observer = { token: Buffer.from(token), sequence: 0 };
    else if (observe === 1) this.#observer = undefined;
    return observe === 0 ? [uintOption(OPTION.OBSERVE, 0)] : [];
  }

  /** The answer to the request to observe; what it carries was asked for, not reported. */
  #takeFirst({ code, token, options }: Message): void {
    const observes = familyOf(code) === 2 && options.some(({ number }) => number === OPTION.OBSERVE);
    if (!observes && this.#observation?.token.equals(token)) this.#observation = undefined;
  }

  async #takeResponse(message: Message): Promise<void> {
    const { type, id } = message;
    const taken = this.#exchanges.take(message);
    if (taken === 'STRANGE') await this.#takeNotification(message);
    else if (taken === 'UNREADABLE') this.#reply(id, emptyMessage('RST', id));
    else if (type === 'CON') this.#reply(id, emptyMessage('ACK', id));
  }

  async #takeNotification(message: Message): Promise<void> {
    const { type, id, code, token, payload } = message;
    const observation = this.#observation?.token.equals(token) ? this.#observation : undefined;
    if (observation === undefined || !isWhole(message)) {
      this.#reply(id, emptyMessage('RST', id)); // the client ends the observation (RFC 7641 3.6)
      return;
    }
    if (this.#load >= MAX_UNDER_WAY) {
      this.#recent.forget(id);
      return;
    }
    if (familyOf(code) !== 2) this.#observation = undefined;
    this.#underWay += 1;
    const isDone = familyOf(code) !== 2 || (await observation.notified(payload).catch(this.#failed));
    this.#underWay -= 1;
    if (this.#isClosed) return;
    if (!isDone) this.#recent.forget(id);
    else if (type === 'CON') this.#reply(id, emptyMessage('ACK', id));
  }

  readonly #failed = (error: unknown): false => {
    this.#options.onError(error);
    return false;
  };

  #takeToken(): Buffer {
    const token = Buffer.alloc(TOKEN_BYTES);
    token.writeUInt32BE(this.#nextToken);
    this.#nextToken = (this.#nextToken + 1) % 2 ** 32;
    return token;
  }

  #confirm(content: Content, ended: Parameters<Transmissions['send']>[2]): void {
    const id = this.#transmissions.takeId();
    this.#transmissions.send(id, encodeMessage({ type: 'CON', id, ...content }), ended);
  }

  #reply(id: number, datagram: Buffer): void {
    this.#recent.answered(id, datagram);
    this.#options.send(datagram);
  }

  #reset(id: number): void {
    this.#options.send(emptyMessage('RST', id));
  }
}

/** It fits in one message, and asks for nothing that is not understood. */
function isWhole({ options }: Message): boolean {
  return !options.some(({ number }) => isCritical(number));
}
