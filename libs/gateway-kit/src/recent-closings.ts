import type { Session } from './sessions.ts';

/**
 * How long a closing is remembered. A verdict is at most its deadline (2 s) old when its session registers, and rests on
 * a record that a replica may still hold for one lease (0.8 s) after the change was heard of; the rest is slack.
 */
const MEMORY_AGE_MS = 10_000;

/** Closings remembered: what a store can write within their age at 10,000 changes per second; about 15 MB. */
const MAX_CLOSINGS = 100_000;

/** Doubts remembered: one a reconnect, of which the backoff allows fewer within their age. */
const MAX_DOUBTS = 64;

type Closing = { readonly atMs: number; readonly revision: bigint | undefined };
type Doubt = { readonly atMs: number; readonly concerns: (session: Session) => boolean };

/**
 * The closings of late, for sessions that register after the change that ends them was heard of. Bounded by count and
 * by age; what had to be forgotten too early puts every session in doubt that was asked for before.
 */
export class RecentClosings {
  readonly #monotonic: () => number;
  readonly #maxClosings: number;
  readonly #devices = new Map<string, Closing>();
  readonly #credentials = new Map<string, Closing>();
  #doubts: readonly Doubt[] = [];

  constructor(monotonic: () => number, maxClosings = MAX_CLOSINGS) {
    this.#monotonic = monotonic;
    this.#maxClosings = maxClosings;
  }

  /** Every session of the device that was granted before the revision is to end. */
  closeDevice(deviceId: string, revision: bigint): void {
    const before = this.#devices.get(deviceId)?.revision ?? 0n;
    this.#remember(this.#devices, deviceId, revision > before ? revision : before);
  }

  /** Every session that was opened with the credential is to end. */
  closeCredential(credentialId: string): void {
    this.#remember(this.#credentials, credentialId, undefined);
  }

  /** Changes that end sessions of this sort may have been missed until now. */
  doubt(concerns: (session: Session) => boolean): void {
    const oldest = this.#monotonic() - MEMORY_AGE_MS;
    const young = this.#doubts.filter(({ atMs }) => atMs > oldest);
    const doubt = { atMs: this.#monotonic(), concerns };
    // Too many: the newest takes the place of all, and concerns everybody.
    this.#doubts = young.length < MAX_DOUBTS ? [...young, doubt] : [{ ...doubt, concerns: () => true }];
  }

  /** Whether a session may open whose verdict was asked for at `askedAtMs` on the monotonic clock. */
  allow(session: Session, askedAtMs: number): boolean {
    const closing = this.#devices.get(session.deviceId);
    if (closing?.revision !== undefined && session.revision < closing.revision) return false;
    if (this.#credentials.has(session.credentialId)) return false;
    return !this.#doubts.some(({ atMs, concerns }) => askedAtMs <= atMs && concerns(session));
  }

  #remember(closings: Map<string, Closing>, key: string, revision: bigint | undefined): void {
    const nowMs = this.#monotonic();
    closings.delete(key); // so that the map stays in the order of time
    closings.set(key, { atMs: nowMs, revision });
    for (const [oldest, { atMs }] of closings) {
      const young = nowMs - atMs < MEMORY_AGE_MS;
      if (young && closings.size <= this.#maxClosings) break;
      closings.delete(oldest);
      if (young) this.doubt(() => true);
    }
  }
}
