import type { DeviceId, Random, Secret } from '@latchkey/kernel';

/** Bytes of a token of the gateway's own: nobody guesses one. */
const TOKEN_BYTES = 16;

/** A sniffed token is of use for so long, and a device has to log in again once an hour. */
export const TOKEN_LIFETIME_S = 3_600;

/** Devices that are logged in: a bench full of them. */
const MAX_TOKENS = 10_000;

/**
 * A timestamp may be good for 48 h, at the widest settings of the auth service: a day before its hour, a day after it began.
 * No login is forgotten before.
 */
const LOGIN_LIFETIME_MS = 48 * 3_600_000;

/** Logins that are remembered, some 100 bytes each: two an hour of a thousand devices. */
const MAX_LOGINS = 100_000;

/** Who is logged in: the token that the auth service has made stays here. */
export type Holder = { readonly deviceId: DeviceId; readonly token: Secret };

type Entry = Holder & { readonly untilMs: number };

/** What a login is told apart by: its device and what was signed. */
export type Signed = { readonly deviceId: DeviceId; readonly signType: number; readonly timestamp: string };

/** The tokens of plain CoAP, and the logins that were used. All of it is lost with the process. */
export class Tokens {
  readonly #monotonic: () => number;
  readonly #random: Random;
  // Both in the order of time.
  readonly #tokens = new Map<string, Entry>();
  readonly #logins = new Map<string, number>();
  readonly #byDevice = new Map<DeviceId, string>();

  constructor(monotonic: () => number, random: Random) {
    this.#monotonic = monotonic;
    this.#random = random;
  }

  /** Whether this login was used before. */
  isUsed(signed: Signed): boolean {
    this.#forgetOld();
    return this.#logins.has(keyOf(signed));
  }

  /** Uses a login up; gives the device's token for it, its only one. Undefined: too many are held. */
  open(signed: Signed, token: Secret): string | undefined {
    this.#forgetOld();
    const { deviceId } = signed;
    const before = this.#byDevice.get(deviceId);
    if (this.#logins.size >= MAX_LOGINS || (before === undefined && this.#tokens.size >= MAX_TOKENS)) return undefined;
    if (before !== undefined) this.#tokens.delete(before);
    const nowMs = this.#monotonic();
    this.#logins.set(keyOf(signed), nowMs + LOGIN_LIFETIME_MS);
    const own = Buffer.from(this.#random(TOKEN_BYTES)).toString('base64url');
    this.#tokens.set(own, { deviceId, token, untilMs: nowMs + TOKEN_LIFETIME_S * 1_000 });
    this.#byDevice.set(deviceId, own);
    return own;
  }

  /** Who holds a token; undefined: nobody. */
  holderOf(own: string): Holder | undefined {
    this.#forgetOld();
    return this.#tokens.get(own);
  }

  #forgetOld(): void {
    const nowMs = this.#monotonic();
    for (const [own, { deviceId, untilMs }] of this.#tokens) {
      if (untilMs > nowMs) break;
      this.#tokens.delete(own);
      this.#byDevice.delete(deviceId);
    }
    for (const [login, untilMs] of this.#logins) {
      if (untilMs > nowMs) break;
      this.#logins.delete(login);
    }
  }
}

function keyOf({ deviceId, signType, timestamp }: Signed): string {
  return `${deviceId} ${signType} ${timestamp}`;
}
