import type { SessionHandlers, Session as Transport } from '@latchkey/dtls';
import type { Decision, Session, SessionTable } from '@latchkey/gateway-kit';
import { topicOf, type Upstream } from '@latchkey/gateway-kit/upstream';
import type { Clock, DeviceId, Random } from '@latchkey/kernel';
import type { Log } from '@latchkey/runtime';
import type { Admission, Admitted, Device, Nameless } from './admit.ts';
import { sourceOf } from './admit.ts';
import { type EdgeRefusal, type Refusal, refused, responseTo } from './answer.ts';
import type { ByteBudget } from './coap/byte-budget.ts';
import { FORMAT, OPTION, RESPONSE } from './coap/codes.ts';
import { type CoapRequest, type CoapResponse, Conversation } from './coap/conversation.ts';
import { textOption, uintOption } from './coap/options.ts';
import { expire, kickOf } from './kick.ts';
import { deviceNamed, isNameOf } from './proof.ts';
import type { Receivers } from './receivers.ts';
import { Registration } from './registration.ts';
import { passOn } from './report.ts';
import { REGISTRATION, type Route, readRoute } from './route.ts';

/** What all links share. */
export type LinkOptions = {
  readonly admission: Pick<Admission, 'name'>;
  readonly sessions: SessionTable;
  readonly upstream: Pick<Upstream, 'publish'>;
  /** Who takes what is sent to devices. */
  readonly receivers: Receivers;
  /** For bodies that come in blocks. */
  readonly memory: ByteBudget;
  /** For what waits to be sent to devices. */
  readonly waiting: ByteBudget;
  /** Counts what was refused without a decision. */
  readonly refused: (refusal: { readonly decision: 'REFUSED'; readonly why: EdgeRefusal }) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Milliseconds within which a client with a certificate must have said which device it is. */
  readonly namingMs: number;
};

/** Devices that a client with a certificate may claim to be before its session is closed: a mistyped name, and no guessing. */
const MAX_CLAIMS = 3;

/** What there is, for `GET /.well-known/core` (RFC 6690). */
const LINKS = Buffer.from('</rd>;rt="core.rd";if="core.rd",</v5/devices>');

type State =
  | (Nameless & { readonly claims: number })
  | { readonly kind: 'NAMING'; readonly claims: number }
  | { readonly kind: 'DEVICE'; readonly device: Device; readonly session: Session }
  | { readonly kind: 'CLOSED' };

/** One DTLS session, from its handshake to its end: what its device asks, and what may end it. */
export class Link {
  readonly #options: LinkOptions;
  readonly #transport: Transport<Admitted>;
  readonly #conversation: Conversation;
  readonly #registration: Registration;
  readonly #closed = new AbortController();
  #state: State = { kind: 'CLOSED' };
  #timers: (() => void)[] = [];

  constructor(options: LinkOptions, transport: Transport<Admitted>) {
    const { clock, random, memory, receivers, waiting, log } = options;
    this.#options = options;
    this.#transport = transport;
    this.#conversation = new Conversation({
      send: (datagram) => {
        // Only a client that asked for tiny records (RFC 6066 4) has one that is too long: to it, it is lost.
        if (datagram.length <= transport.maxDataBytes) transport.send(datagram);
      },
      serve: (request) => this.#serve(request),
      ...{ memory, random, monotonic: clock.monotonic },
      onError: (error) => log.error({ err: error }, 'a request failed'),
    });
    this.#registration = new Registration({
      ...{ receivers, budget: waiting, conversation: this.#conversation, maxDataBytes: transport.maxDataBytes },
      expired: () => log.debug({}, 'a registration has expired'),
    });
  }

  /** Begins; a session that a change overtook meanwhile is closed at once. */
  open(): SessionHandlers {
    const { grant } = this.#transport;
    if (grant.kind === 'DEVICE') {
      if (!this.#enter(grant)) this.#transport.close();
    } else {
      this.#state = { ...grant, claims: 0 };
      const timer = setTimeout(() => this.#endNameless(), this.#options.namingMs);
      this.#timers.push(() => clearTimeout(timer));
    }
    return { message: (datagram) => this.#conversation.receive(datagram), closed: () => this.#close() };
  }

  #close(): void {
    const state = this.#state;
    this.#state = { kind: 'CLOSED' };
    if (state.kind === 'DEVICE') this.#options.sessions.remove(state.session);
    for (const callOff of this.#timers) callOff();
    this.#closed.abort();
    this.#registration.close();
    this.#conversation.close();
  }

  #endNameless(): void {
    if (this.#state.kind !== 'DEVICE') this.#transport.close();
  }

  /** Registers first and looks again then; false: a change overtook the grant. */
  #enter(device: Device): boolean {
    const { sessions, clock, log } = this.#options;
    const { deviceId, identity, grant, askedAtMs } = device;
    const { credentialId, revision, basis, expiresAtMs } = grant;
    const close = kickOf(() => this.#transport.close(), deviceId, log);
    const session = { deviceId, credentialId, revision, basis, byCertificate: identity === undefined, close };
    if (!sessions.register(session, askedAtMs)) return false;
    this.#state = { kind: 'DEVICE', device, session };
    if (expiresAtMs !== undefined) this.#timers.push(expire(sessions, session, expiresAtMs - clock.now()));
    return true;
  }

  async #serve(request: CoapRequest): Promise<CoapResponse> {
    const outcome = await this.#handle(readRoute(request), request);
    if ('code' in outcome) return outcome;
    if (outcome.decision === 'REFUSED') this.#options.refused(outcome);
    const hasClaimedEnough = this.#state.kind === 'NAMELESS' && this.#state.claims >= MAX_CLAIMS;
    return { ...responseTo(outcome), ...(hasClaimedEnough ? { sent: () => this.#transport.close() } : {}) };
  }

  #handle(route: Route, { payload }: CoapRequest): Promise<CoapResponse | Refusal> | CoapResponse | Refusal {
    switch (route.operation) {
      case 'NONE':
        return refused(route.why);
      case 'DISCOVER':
        return {
          code: RESPONSE.CONTENT,
          options: [uintOption(OPTION.CONTENT_FORMAT, FORMAT.LINKS)],
          payload: LINKS,
        };
      case 'REGISTER':
        return this.#register(route);
      case 'UPDATE':
      case 'DEREGISTER':
        return this.#registered(route);
      case 'LISTEN':
        return this.#listen(route.deviceId);
      case 'REPORT':
        return this.#report(route, payload);
    }
  }

  async #register({ endpoint, lifetimeS }: Extract<Route, { readonly operation: 'REGISTER' }>) {
    const device = await this.#known(deviceNamed(endpoint));
    if ('decision' in device) return device;
    const { deviceId, identity } = device;
    if (!isNameOf(endpoint, deviceId, identity)) return refused('OTHER_DEVICE');
    const location = [REGISTRATION, deviceId].map((part) => textOption(OPTION.LOCATION_PATH, part));
    const notified = (payload: Buffer) => this.#notified(deviceId, payload);
    const sent = () => this.#registration.begin(deviceId, lifetimeS, notified);
    return { code: RESPONSE.CREATED, options: location, sent };
  }

  #registered(route: Extract<Route, { readonly name: string }>): CoapResponse | Refusal {
    if (this.#state.kind !== 'DEVICE') return refused('NAMELESS');
    // A device that is told so registers anew (OMA LwM2M 1.1 Core, 6.2.2).
    if (route.name !== this.#state.device.deviceId) return refused('NO_SUCH_PATH');
    if (route.operation === 'UPDATE')
      return this.#registration.update(route.lifetimeS) ? { code: RESPONSE.CHANGED } : refused('NO_SUCH_PATH');
    return this.#registration.end() ? { code: RESPONSE.DELETED } : refused('NO_SUCH_PATH');
  }

  /** Nothing is kept, so the answer itself is empty. */
  async #listen(deviceId: DeviceId): Promise<CoapResponse | Refusal> {
    const device = await this.#known(deviceId);
    if ('decision' in device) return device;
    if (device.deviceId !== deviceId) return refused('OTHER_DEVICE');
    return { code: RESPONSE.CONTENT, isObservable: true, sent: () => this.#registration.listen(deviceId) };
  }

  async #report(route: Extract<Route, { readonly operation: 'REPORT' }>, payload: Buffer) {
    const { kind, deviceId } = route;
    const device = await this.#known(deviceId);
    if ('decision' in device) return device;
    if (device.deviceId !== deviceId) return refused('OTHER_DEVICE');
    return passOn(this.#options.upstream, { kind, deviceId, payload }, this.#closed.signal);
  }

  /** What is too long stays so: it is dropped, not sent again. */
  async #notified(deviceId: DeviceId, payload: Buffer): Promise<boolean> {
    if (payload.length === 0) return true;
    const { upstream } = this.#options;
    const published = await upstream.publish(topicOf(deviceId, 'MESSAGE'), payload, this.#closed.signal);
    return published === 'ACKNOWLEDGED' || published === 'TOO_LONG';
  }

  /** The device of this session; a client with a certificate says by its first request that it is `claimed`. */
  async #known(claimed: DeviceId | undefined): Promise<Device | Refusal> {
    const state = this.#state;
    if (state.kind === 'DEVICE') return state.device;
    if (state.kind !== 'NAMELESS') return refused('BUSY');
    if (claimed === undefined) return refused('INPUT');
    this.#state = { kind: 'NAMING', claims: state.claims + 1 };
    const source = sourceOf(this.#transport.peer.address);
    const outcome = await this.#options.admission.name(claimed, state.proof, source);
    if (this.#isClosed()) return refused('BUSY');
    if ('kind' in outcome) return this.#enter(outcome) ? outcome : this.#overtaken();
    this.#state = { ...state, claims: state.claims + 1 };
    return outcome;
  }

  #isClosed(): boolean {
    return this.#state.kind === 'CLOSED';
  }

  #overtaken(): Exclude<Decision, { readonly decision: 'GRANTED' | 'DENIED' }> {
    this.#transport.close();
    return { decision: 'NONE', cause: 'OVERTAKEN' };
  }
}
