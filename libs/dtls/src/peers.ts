import type { Peer } from './api.ts';
import type { Handshake } from './handshake.ts';
import type { OpenSession } from './open-session.ts';
import type { WireRecord } from './records.ts';

/** Whoever takes the records of a connection id. */
export type Owner = { readonly receive: (record: WireRecord, from: Peer) => void };

/**
 * Handshakes and sessions of a server. An address has at most one of each; a session whose client moved has no address
 * any more, only its connection id.
 */
export class Peers<Grant> {
  readonly #handshakes = new Map<string, Handshake<Grant>>();
  readonly #sessions = new Set<OpenSession<Grant>>();
  readonly #sessionsByPlace = new Map<string, OpenSession<Grant>>();
  readonly #owners = new Map<string, Owner>();
  /** Handshakes of each IP address. */
  readonly #perAddress = new Map<string, number>();

  get handshakes(): Iterable<Handshake<Grant>> {
    return this.#handshakes.values();
  }

  get handshakeCount(): number {
    return this.#handshakes.size;
  }

  get sessions(): ReadonlySet<OpenSession<Grant>> {
    return this.#sessions;
  }

  /** Handshakes in flight of the peer's IP address. */
  handshakesOf({ address }: Peer): number {
    return this.#perAddress.get(address) ?? 0;
  }

  handshakeAt(peer: Peer): Handshake<Grant> | undefined {
    return this.#handshakes.get(placeOf(peer));
  }

  sessionAt(peer: Peer): OpenSession<Grant> | undefined {
    return this.#sessionsByPlace.get(placeOf(peer));
  }

  /** Who takes the records with this connection id. */
  ownerOf(connectionId: Buffer): Owner | undefined {
    return this.#owners.get(idText(connectionId));
  }

  /** Gives a connection id an owner, or takes it away. */
  setOwner(connectionId: Buffer, owner: Owner | undefined): void {
    if (owner === undefined) this.#owners.delete(idText(connectionId));
    else this.#owners.set(idText(connectionId), owner);
  }

  addHandshake(handshake: Handshake<Grant>): void {
    this.#handshakes.set(placeOf(handshake.peer), handshake);
    this.#perAddress.set(handshake.peer.address, this.handshakesOf(handshake.peer) + 1);
  }

  removeHandshake({ peer }: Handshake<Grant>): void {
    this.#handshakes.delete(placeOf(peer));
    const left = this.handshakesOf(peer) - 1;
    if (left > 0) this.#perAddress.set(peer.address, left);
    else this.#perAddress.delete(peer.address);
  }

  addSession(session: OpenSession<Grant>): void {
    this.#sessions.add(session);
    this.#sessionsByPlace.set(placeOf(session.peer), session);
  }

  /** The session is no longer at this address. */
  leavePlace(session: OpenSession<Grant>, place: Peer): void {
    if (this.sessionAt(place) === session) this.#sessionsByPlace.delete(placeOf(place));
  }

  removeSession(session: OpenSession<Grant>): void {
    this.#sessions.delete(session);
    this.leavePlace(session, session.peer);
  }
}

function placeOf({ address, port }: Peer): string {
  return `${address}|${port}`;
}

function idText(connectionId: Buffer): string {
  return connectionId.toString('latin1');
}
