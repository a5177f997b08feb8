import { ALERT, type AlertName, alertBody, LEVEL } from './alerts.ts';
import type { CloseReason, Peer, Session, SessionHandlers } from './api.ts';
import { tryDecode } from './bytes.ts';
import { CONTENT, HANDSHAKE } from './codes.ts';
import { readFragments } from './fragments.ts';
import type { Established } from './handshake-parts.ts';
import type { Outgoing } from './outgoing.ts';
import type { Opened, RecordLayer } from './record-layer.ts';
import type { WireRecord } from './records.ts';

/**
 * What an address to which a session moved may get for each record that came from it. Nothing proves that the device is
 * there (RFC 9146 6): a copied record, sent from a victim's address, draws no more than one large answer.
 */
const MOVED_BYTES_PER_RECORD = 4_096;

/** An unheard last flight is sent again at most so often: a client that repeats for a minute. */
const MAX_FINAL_FLIGHTS = 10;

/** What a session needs besides what its handshake left. */
export type SessionInput = {
  readonly peer: Peer;
  readonly suite: string;
  readonly hasConnectionId: boolean;
  readonly maxDataBytes: number;
  readonly idleMs: number;
  readonly maxForgeries: number;
  /** False when the datagram was dropped. */
  readonly send: (peer: Peer, datagram: Buffer) => boolean;
  /** The session is another address's now. */
  readonly moved: (from: Peer, to: Peer) => void;
  readonly closed: () => void;
  /** A callback of the owner's threw. */
  readonly onError: (error: unknown) => void;
};

/** An open session, seen from the server. */
export class OpenSession<Grant> implements Session<Grant> {
  readonly grant: Grant;
  readonly #input: SessionInput;
  readonly #records: RecordLayer;
  readonly #idle: NodeJS.Timeout;
  #finalFlight: Outgoing | undefined;
  #finalFlights = 0;
  #handlers: SessionHandlers | undefined;
  #peer: Peer;
  #isClosed = false;
  /** What may still go to an address that no handshake proved. */
  #allowanceBytes = Number.POSITIVE_INFINITY;

  constructor({ finalFlight, grant, records }: Established<Grant>, input: SessionInput) {
    this.grant = grant;
    this.#input = input;
    this.#peer = input.peer;
    this.#records = records;
    this.#finalFlight = finalFlight;
    this.#idle = setTimeout(() => this.end('IDLE'), input.idleMs);
  }

  get suite(): string {
    return this.#input.suite;
  }

  get peer(): Peer {
    return this.#peer;
  }

  get hasConnectionId(): boolean {
    return this.#input.hasConnectionId;
  }

  get maxDataBytes(): number {
    return this.#input.maxDataBytes;
  }

  /** Gives the owner's handlers. */
  attach(handlers: SessionHandlers): void {
    this.#handlers = handlers;
  }

  send(data: Uint8Array): boolean {
    if (data.length > this.maxDataBytes) throw new RangeError(`more than ${this.maxDataBytes} bytes`);
    return !this.#isClosed && this.#write(CONTENT.APPLICATION_DATA, Buffer.from(data));
  }

  close(): void {
    this.end('CLOSED_HERE');
  }

  /** Ends the session and says so, unless the client did first or began anew. */
  end(reason: CloseReason): void {
    if (this.#isClosed) return;
    if (reason !== 'CLOSED_BY_PEER' && reason !== 'PEER_ALERT' && reason !== 'REPLACED') this.#alert('CLOSE_NOTIFY');
    this.#isClosed = true;
    clearTimeout(this.#idle);
    this.#finalFlight = undefined;
    this.#input.closed();
    this.#tell(() => this.#handlers?.closed(reason));
  }

  /** Takes a record in; false when it is not this session's. */
  receive(record: WireRecord, from: Peer): boolean {
    if (this.#isClosed) return false;
    const opened = tryDecode(() => this.#records.open(record));
    if (opened === undefined) {
      if (this.#records.forgeries >= this.#input.maxForgeries) this.end('FORGERIES');
      return false;
    }
    this.#idle.refresh();
    this.#heardFrom(opened, from);
    if (opened.type === CONTENT.APPLICATION_DATA) this.#takeData(opened.body);
    if (opened.type === CONTENT.HANDSHAKE) this.#takeHandshake(opened.body);
    if (opened.type === CONTENT.ALERT) this.#takeAlert(opened.body);
    return true;
  }

  /** Whether the record was sealed by this session's client, now or before. */
  owns(record: WireRecord): boolean {
    return !this.#isClosed && this.#records.isAuthentic(record);
  }

  /** The newest record tells where the client is; only a connection id lets one from elsewhere come this far. */
  #heardFrom({ isNewest }: Opened, from: Peer): void {
    const isSame = from.address === this.#peer.address && from.port === this.#peer.port;
    if (isNewest && !isSame) {
      this.#allowanceBytes = 0;
      const before = this.#peer;
      this.#peer = from;
      this.#input.moved(before, from);
    }
    if (isNewest) this.#allowanceBytes += MOVED_BYTES_PER_RECORD;
  }

  #takeData(data: Buffer): void {
    // The client has heard the server's Finished, or it would not send this.
    this.#finalFlight = undefined;
    this.#tell(() => this.#handlers?.message(data));
  }

  /** A repeated Finished asks for the last flight again (RFC 6347 4.2.4); a new hello is refused (RFC 5746 4.5). */
  #takeHandshake(body: Buffer): void {
    const types = (tryDecode(() => readFragments(body)) ?? []).map(({ type }) => type);
    if (types.includes(HANDSHAKE.CLIENT_HELLO)) this.#alert('NO_RENEGOTIATION');
    if (!types.includes(HANDSHAKE.FINISHED) || this.#finalFlights === MAX_FINAL_FLIGHTS) return;
    this.#finalFlights += 1;
    for (const datagram of this.#finalFlight?.datagrams() ?? []) this.#input.send(this.#peer, datagram);
  }

  #takeAlert(body: Buffer): void {
    if (body.length !== 2) return;
    const [level, description] = body;
    if (description === ALERT.CLOSE_NOTIFY) {
      // RFC 5246 7.2.1: it is answered by the same.
      this.#alert('CLOSE_NOTIFY');
      this.end('CLOSED_BY_PEER');
    } else if (level === LEVEL.FATAL) {
      this.end('PEER_ALERT');
    }
  }

  #alert(alert: AlertName): void {
    this.#write(CONTENT.ALERT, alertBody(alert));
  }

  #write(type: number, body: Buffer): boolean {
    const datagram = this.#records.write(1, type, body);
    if (datagram.length > this.#allowanceBytes) return false;
    this.#allowanceBytes -= datagram.length;
    return this.#input.send(this.#peer, datagram);
  }

  #tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#input.onError(error);
    }
  }
}
