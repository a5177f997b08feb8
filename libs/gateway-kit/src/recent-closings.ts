import type { Session } from './sessions.ts';

/**
 * How long a closing is remembered. A verdict may come from another replica than the one whose changes are followed, and
 * rest on the record from before the change as long as that replica has a lease from before: 0.8 s, and after a takeover of
 * Redis 2.8 s more than its min-replicas-max-lag, 10 s by default (ADR 0009). It is at most its deadline of 2 s on its
 * way; the rest is slack.
 */
export const MEMORY_AGE_MS = 20_000;

/** Closings remembered: what a store can write within their age at 5,000 closings per second; about 15 MB. */
const MAX_CLOSINGS = 100_000;

/** Doubts remembered: one a gap, and the backoff of reconnects allows fewer of them within their age. */
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

  /**
   * Changes that end sessions of this sort may have been missed until now. A verdict that was asked for before opens none;
   * a later one may, though a replica that had not heard of those changes gave it: see `overdue`.
   */
  doubt(concerns: (session: Session) => boolean): void {
    const doubt = { atMs: this.#monotonic(), concerns };
    // Too many: the newest takes the place of all, and concerns everybody.
    this.#doubts = this.#doubts.length < MAX_DOUBTS ? [...this.#doubts, doubt] : [{ ...doubt, concerns: () => true }];
  }

  /**
   * Takes out the doubts from before all that any replica can still decide on. Whatever opened since, on a verdict from a
   * replica that was behind, can now be checked for good. Undefined: there are none.
   */
  overdue(): ((session: Session) => boolean) | undefined {
    const oldest = this.#monotonic() - MEMORY_AGE_MS;
    const due = this.#doubts.filter(({ atMs }) => atMs <= oldest);
    if (due.length === 0) return undefined;
    this.#doubts = this.#doubts.filter(({ atMs }) => atMs > oldest);
    return (session) => due.some(({ concerns }) => concerns(session));
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
