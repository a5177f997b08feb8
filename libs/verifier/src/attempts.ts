import type { Decision, DenyReason } from '@latchkey/credential';
import { type Allowance, type DeviceId, isLeft, spendOne } from '@latchkey/kernel';
import { LRUCache } from 'lru-cache';

/** Pairs of device and source that have failed of late; about 20 MB. A pair that is pushed out begins anew. */
const MAX_PAIRS = 100_000;

/** What a guess could cause is a failed attempt. The rest comes with a right proof, or says nothing of the proof. */
const IS_FAILURE: Readonly<Record<DenyReason, boolean>> = {
  UNKNOWN_DEVICE: true,
  WRONG_KIND: true,
  NO_CREDENTIAL: true,
  SECRET_MISMATCH: true,
  STALE_TIMESTAMP: true,
  FINGERPRINT_MISMATCH: true,
  CERTIFICATE_INVALID: true,
  CERTIFICATE_EXPIRED: true,
  CERTIFICATE_UNTRUSTED: true,
  CERTIFICATE_DISABLED: true,
  TOKEN_INVALID: true,
  TOKEN_EXPIRED: false,
  TOKEN_REVOKED: false,
  SECONDARY_NOT_ACCEPTED: false,
  FROZEN: false,
  ACTIVATION_EXPIRED: false,
  THROTTLED: false,
};

/** Who tries, and from where. */
export type Attempt = { readonly deviceId: DeviceId; readonly source?: string };

/**
 * The failed attempts of each device from each source. Never of a device alone, or anybody could lock it out from
 * elsewhere; nor of a source alone, or one bad device would lock out its neighbours. Where the gateway gives no source there
 * is no budget.
 */
export class FailedAttempts {
  readonly #allowance: Allowance;
  readonly #monotonic: () => number;
  readonly #wholeAtMs: LRUCache<string, number>;
  /** When no pair has anything spent any more: until the first failure, one comparison is all that an attempt costs. */
  #allWholeAtMs = 0;

  constructor(allowance: Allowance, monotonic: () => number, maxPairs = MAX_PAIRS) {
    this.#wholeAtMs = new LRUCache({ max: maxPairs });
    this.#allowance = allowance;
    this.#monotonic = monotonic;
  }

  /** Pairs that have failed of late. */
  get size(): number {
    return this.#wholeAtMs.size;
  }

  /** Whether the pair has failed too often to have its proof looked at. */
  areSpent(attempt: Attempt): boolean {
    if (this.#wholeAtMs.size === 0) return false;
    const nowMs = this.#monotonic();
    if (nowMs >= this.#allWholeAtMs) {
      this.#wholeAtMs.clear();
      return false;
    }
    const key = keyOf(attempt);
    const wholeAtMs = key === undefined ? undefined : this.#wholeAtMs.get(key);
    return wholeAtMs !== undefined && !isLeft(wholeAtMs, nowMs, this.#allowance);
  }

  /** Notes how an attempt ended whose proof was looked at. */
  note(attempt: Attempt, decision: Decision): void {
    if (!isFailure(decision)) return;
    this.spend(attempt);
  }

  /** Takes a try before it is known how it ends; `giveBack` returns it. */
  spend(attempt: Attempt): void {
    const key = keyOf(attempt);
    if (key === undefined) return;
    const wholeAtMs = spendOne(this.#wholeAtMs.get(key) ?? 0, this.#monotonic(), this.#allowance);
    this.#wholeAtMs.set(key, wholeAtMs);
    this.#allWholeAtMs = Math.max(this.#allWholeAtMs, wholeAtMs);
  }

  /** Returns a try that was taken beforehand, once it turns out to be none that failed. */
  giveBack(attempt: Attempt, decision: Decision): void {
    const key = keyOf(attempt);
    const wholeAtMs = key === undefined ? undefined : this.#wholeAtMs.get(key);
    if (key === undefined || wholeAtMs === undefined || isFailure(decision)) return;
    this.#wholeAtMs.set(key, wholeAtMs - this.#allowance.intervalMs);
  }
}

function isFailure(decision: Decision): boolean {
  return !decision.granted && IS_FAILURE[decision.reason];
}

/** No two pairs have the same one: a device id has no space. */
function keyOf({ deviceId, source = '' }: Attempt): string | undefined {
  return source === '' ? undefined : `${deviceId} ${source}`;
}
