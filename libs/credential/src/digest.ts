import { hash, timingSafeEqual } from 'node:crypto';
import { assertNever } from '@latchkey/kernel';
import { type HmacHash, hmacHex } from './hmac.ts';
import type { DigestProof, SignType } from './proof.ts';

const HOUR_MS = 3_600_000;
/** Hex characters of a SHA-256 or SM3 digest. */
const DIGEST_CHARACTERS = 64;
/** What a malformed password is compared as, so that it costs what any other does. */
const NO_DIGEST = '\0'.repeat(DIGEST_CHARACTERS);
// One pair for all checks: nothing awaits between the writes and the compare.
const shown = Buffer.alloc(DIGEST_CHARACTERS);
const expected = Buffer.alloc(DIGEST_CHARACTERS);

/** How far a checked time may stand off: hour H passes while H - beforeMs <= now < H + afterMs. */
export type TimestampWindow = { readonly beforeMs: number; readonly afterMs: number };

/**
 * The start of the hour that YYYYMMDDHH names in UTC, milliseconds since the epoch; undefined when it names none. Hour
 * 24 is the next day's 00: the vendor's C SDK adds 1 to the number until its digest has no zero byte.
 */
export function parseTimestamp(text: string): number | undefined {
  if (lastParsed.text !== text) lastParsed = { text, hourMs: hourOf(text) };
  return lastParsed.hourMs;
}

/** A fleet shows one hour for an hour: the last answer is kept, as reading one costs a tenth of a decision. */
let lastParsed: { readonly text: string; readonly hourMs: number | undefined } = { text: '', hourMs: undefined };

function hourOf(text: string): number | undefined {
  if (!isTimestampText(text)) return undefined;
  const number = Number(text);
  const [year, month] = [Math.floor(number / 1e6), Math.floor(number / 1e4) % 100];
  const [day, hour] = [Math.floor(number / 100) % 100, number % 100];
  const date = new Date(Date.UTC(year, month - 1, day));
  const exists = date.getUTCFullYear() === year && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  return exists && hour <= 24 ? date.getTime() + hour * HOUR_MS : undefined;
}

/**
 * Does the digest's time pass? Sign type 0 leaves it unchecked; types 1 and 2 demand a real hour within the window
 * (IoTDA API iot_06_v5_3009, which publishes no width).
 */
export function isFresh(proof: DigestProof, nowMs: number, window: TimestampWindow): boolean {
  if (proof.signType === 0) return true;
  const hourMs = parseTimestamp(proof.timestamp);
  return hourMs !== undefined && hourMs - window.beforeMs <= nowMs && nowMs < hourMs + window.afterMs;
}

/** The MQTT and HTTPS password: HMAC(key = timestamp, message = secret) in lowercase hex (IoTDA API iot_06_v5_3009). */
export function digestOf(signType: SignType, timestamp: string, secret: string): string {
  return hmacHex(hashOf(signType), timestamp, secret);
}

/**
 * A check of this proof against one secret after the other. Each call costs one HMAC and one compare of 64 characters,
 * whatever the proof looks like. Uppercase hex and a timestamp that is not ten digits match nothing.
 */
export function digestMatcher(proof: DigestProof): (secret: string) => boolean {
  const { password, signType, timestamp } = proof;
  // Counted as UTF-8, so that there is no character beyond ASCII, which Latin-1 could write as an ASCII byte.
  const isHexLong = password.length === DIGEST_CHARACTERS && Buffer.byteLength(password) === DIGEST_CHARACTERS;
  const wellFormed = isHexLong && isTimestampText(timestamp);
  const compared = wellFormed ? password : NO_DIGEST;
  return (secret) => {
    shown.write(compared, 'latin1'); // ASCII by now
    expected.write(digestOf(signType, timestamp, secret), 'latin1');
    return timingSafeEqual(shown, expected) && wellFormed;
  };
}

/** A check of a secret shown in clear against one secret after the other, as SHA-256 digests: lengths do not show. */
export function secretMatcher(shown: string): (secret: string) => boolean {
  const shownHash = hash('sha256', shown, 'buffer');
  return (secret) => timingSafeEqual(shownHash, hash('sha256', secret, 'buffer'));
}

function isTimestampText(text: string): boolean {
  if (text === lastTimestampText) return true;
  if (!/^[0-9]{10}$/.test(text)) return false;
  lastTimestampText = text;
  return true;
}

/** As with `lastParsed`. */
let lastTimestampText = '';

function hashOf(signType: SignType): HmacHash {
  switch (signType) {
    case 0:
    case 1:
      return 'sha256';
    case 2:
      return 'sm3';
    default:
      return assertNever(signType);
  }
}
