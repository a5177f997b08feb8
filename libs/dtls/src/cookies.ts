import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Peer } from './api.ts';
import { RANDOM_BYTES } from './codes.ts';

/** Short enough that a HelloVerifyRequest is smaller than any ClientHello that it answers; 128 bits cannot be guessed. */
export const COOKIE_BYTES = 16;

/** A cookie is good for one to two of these: a client on a slow network sends the second hello within seconds. */
export const COOKIE_KEY_LIFE_MS = 60_000;

/** Cookies that are remembered as used, for each of the two keys: more handshakes a minute than a process can do. */
const MAX_SPENT = 100_000;

type Generation = { readonly key: Uint8Array; readonly spent: Set<string> };

/** What a cookie is worth. A spent one opened a handshake before: its hello is a late duplicate. */
export type CookieState = 'VALID' | 'SPENT' | 'INVALID';

/**
 * Stateless cookies (RFC 6347 4.2.1): a keyed hash over the client's address and its hello. Nothing is kept about an
 * address that has not sent one back. Each opens one handshake, or a late duplicate of a hello would open a second one
 * that fails and looks like a wrong key.
 */
export class Cookies {
  readonly #random: (size: number) => Uint8Array;
  readonly #clock: () => number;
  #current: Generation;
  #previous: Generation;
  #rotatesAt: number;

  constructor(random: (size: number) => Uint8Array, clock: () => number) {
    this.#random = random;
    this.#clock = clock;
    this.#current = this.#generation();
    this.#previous = this.#generation();
    this.#rotatesAt = clock() + COOKIE_KEY_LIFE_MS;
  }

  /** The cookie for a hello of this address; `covered` is what of the hello must come back unchanged. */
  issue(peer: Peer, covered: Uint8Array): Buffer {
    this.#rotate();
    return cookieOf(this.#current.key, peer, covered);
  }

  /** What the cookie is worth. */
  check(cookie: Uint8Array, peer: Peer, covered: Uint8Array): CookieState {
    const generation = this.#generationOf(cookie, peer, covered);
    if (generation === undefined) return 'INVALID';
    return generation.spent.has(textOf(cookie)) ? 'SPENT' : 'VALID';
  }

  /** Notes that the cookie opened a handshake. */
  spend(cookie: Uint8Array, peer: Peer, covered: Uint8Array): void {
    const spent = this.#generationOf(cookie, peer, covered)?.spent;
    if (spent === undefined) return;
    for (const oldest of spent) {
      if (spent.size < MAX_SPENT) break;
      spent.delete(oldest);
    }
    spent.add(textOf(cookie));
  }

  #generationOf(cookie: Uint8Array, peer: Peer, covered: Uint8Array): Generation | undefined {
    this.#rotate();
    if (cookie.length !== COOKIE_BYTES) return undefined;
    return [this.#current, this.#previous].find(({ key }) => timingSafeEqual(cookieOf(key, peer, covered), cookie));
  }

  #generation(): Generation {
    return { key: this.#random(RANDOM_BYTES), spent: new Set() };
  }

  #rotate(): void {
    const overdueMs = this.#clock() - this.#rotatesAt;
    if (overdueMs < 0) return;
    this.#previous = overdueMs < COOKIE_KEY_LIFE_MS ? this.#current : this.#generation();
    this.#current = this.#generation();
    this.#rotatesAt = this.#clock() + COOKIE_KEY_LIFE_MS;
  }
}

function cookieOf(key: Uint8Array, { address, port }: Peer, covered: Uint8Array): Buffer {
  return createHmac('sha256', key).update(`${address}|${port}|`).update(covered).digest().subarray(0, COOKIE_BYTES);
}

function textOf(cookie: Uint8Array): string {
  return Buffer.from(cookie).toString('latin1');
}
