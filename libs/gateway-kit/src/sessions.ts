import type { Log } from '@latchkey/runtime';
import type { GatewayMetrics } from './metrics.ts';
import type { RecentClosings } from './recent-closings.ts';

/**
 * Why a session was closed from this side: a change ended all sessions of the device or those of one credential, a check
 * after lost changes said so or could not be had, another link of the device took its place, or the grant's time ran out,
 * or the gateway stops.
 */
export type CloseCause = 'DEVICE' | 'CREDENTIAL' | 'CHECKED' | 'UNCHECKED' | 'REPLACED' | 'EXPIRED' | 'STOPPING';

/** A device's open link and the grant it rests on. */
export type Session = {
  readonly deviceId: string;
  readonly credentialId: string;
  readonly revision: bigint;
  /** Opened with a certificate. */
  readonly byCertificate: boolean;
  /** Of the grant; a check hands it back. */
  readonly basis: Uint8Array;
  /** Ends the link at once. The table has forgotten the session by then. */
  readonly close: (cause: CloseCause) => void;
};

/** The open sessions of a gateway, by device. Its bound is the listener's cap on connections. */
export class SessionTable {
  readonly #closings: RecentClosings;
  readonly #metrics: GatewayMetrics;
  readonly #log: Log;
  // A credential belongs to one device, so this one index finds the sessions of a credential as well.
  readonly #byDevice = new Map<string, readonly Session[]>();
  #size = 0;

  constructor(options: { readonly closings: RecentClosings; readonly metrics: GatewayMetrics; readonly log: Log }) {
    this.#closings = options.closings;
    this.#metrics = options.metrics;
    this.#log = options.log;
  }

  /** Sessions that are open. */
  get size(): number {
    return this.#size;
  }

  /**
   * Registers a session and only then looks whether a change overtook its verdict; false: it did, and the session is
   * not in the table. In this order no change slips between verdict and event.
   */
  register(session: Session, askedAtMs: number): boolean {
    this.#byDevice.set(session.deviceId, [...this.ofDevice(session.deviceId), session]);
    this.#size++;
    if (this.#closings.allow(session, askedAtMs)) return true;
    this.remove(session);
    return false;
  }

  /** Forgets a session whose link has ended. Does nothing when it is not there. */
  remove(session: Session): void {
    const sessions = this.ofDevice(session.deviceId);
    const others = sessions.filter((other) => other !== session);
    if (others.length === sessions.length) return;
    this.#size--;
    if (others.length === 0) this.#byDevice.delete(session.deviceId);
    else this.#byDevice.set(session.deviceId, others);
  }

  /** Whether the session is open. */
  has(session: Session): boolean {
    return this.ofDevice(session.deviceId).includes(session);
  }

  /** The sessions of a device, oldest first. */
  ofDevice(deviceId: string): readonly Session[] {
    return this.#byDevice.get(deviceId) ?? [];
  }

  /** The open sessions that a test picks. */
  pick(picks: (session: Session) => boolean): readonly Session[] {
    return [...this.#byDevice.values()].flat().filter(picks);
  }

  /** Closes those of the sessions that are open. */
  close(sessions: readonly Session[], cause: CloseCause): void {
    for (const session of sessions) {
      if (!this.has(session)) continue;
      this.remove(session);
      this.#metrics.closed(cause);
      try {
        session.close(cause);
      } catch (error) {
        // One link that cannot be closed must not keep the others open.
        this.#log.error({ err: error, deviceId: session.deviceId, cause }, 'a session could not be closed');
      }
    }
  }
}
