import {
  type ArmedSlot,
  type CertificateCredentials,
  type DeviceRecord,
  EMPTY,
  type EmptySlot,
  type FingerprintSlot,
  type Retirement,
  type SecretCredentials,
  type SecretSlot,
} from '@latchkey/credential';
import { type CredentialId, type DeviceId, NO_REVISION, type Revision, Secret } from '@latchkey/kernel';

// A record in memory, one character a byte:
//   when it was read 6 | which use was noted last 4 | and if there is one: flags | revision 7 | closed at 7, if CLOSED | created 6 | activated 6, if ACTIVATED | timeout 4, if TIMEOUT
//   | primary slot | secondary slot | retirement, if RETIRES
// A slot: state | set 6 | first used 6, if USED | credential id 16 | length of what it holds | that | id of the CA 64, if BOUND;
//   of an EMPTY one only the state, of an ARMED one also when it was set.
// A retirement: slot | its time 6, if it has one: else it comes once the other credential is used.

const FLAG = { CERTIFICATE: 1, HEX: 2, TRUSTED_CA: 4, FROZEN: 8, ACTIVATED: 16, RETIRES: 32, CLOSED: 64, TIMEOUT: 128 };
const SLOT = { EMPTY: 0, ARMED: 1, SET: 2, USED: 4, BOUND: 8 };
const RETIRES = { SECONDARY: 1, DEADLINE: 2 };
const REVISION_BYTES = 7;
const TIME_BYTES = 6;
const TIMEOUT_BYTES = 4;
const NOTED_BYTES = 4;
const NOTED_AT = TIME_BYTES;
const RECORD_AT = NOTED_AT + NOTED_BYTES;
const BEYOND_TIME = 2 ** (8 * TIME_BYTES);
const CREDENTIAL_ID_LENGTH = 16;
const CA_ID_LENGTH = 64;

/** No record takes as much: 467 with two used and bound fingerprints. */
const ROOM_BYTES = 512;
// One for all: nothing awaits between the first byte and the text.
const room = Buffer.alloc(ROOM_BYTES);

type AnySlot = EmptySlot | ArmedSlot | SecretSlot | FingerprintSlot;

/**
 * A record, or that there is none, in one text of one-byte characters, without its device id: one small object for the garbage collector and the
 * processor's caches instead of twenty scattered ones (ADR 0029). It holds the secrets.
 */
export function compact(record: DeviceRecord | undefined, readAtMs: number): string {
  const start = writeNumber(0, NOTED_BYTES, writeNumber(readAtMs, TIME_BYTES, 0));
  return textTo(record === undefined ? start : writeRecord(record, start));
}

/** When the record was read, whole monotonic milliseconds. */
export function readAtMsIn(text: string): number {
  return takeNumber({ text, at: 0 }, TIME_BYTES);
}

/** Which use was noted last, see uses.ts; 0: none was. */
export function notedIn(text: string): number {
  return takeNumber({ text, at: NOTED_AT }, NOTED_BYTES);
}

/** The same record with another use noted last. */
export function withNoted(text: string, noted: number): string {
  const at = writeText(text, 0);
  writeNumber(noted, NOTED_BYTES, NOTED_AT);
  return textTo(at);
}

function textTo(at: number): string {
  const text = room.toString('latin1', 0, at);
  room.fill(0, 0, at);
  return text;
}

function writeRecord(record: DeviceRecord, start: number): number {
  const { credentials, sessionsClosedAt, activatedAtMs, activationTimeoutS, retirement } = record;
  let at = room.writeUInt8(flagsOf(record), start);
  at = writeNumber(record.revision, REVISION_BYTES, at);
  if (sessionsClosedAt !== NO_REVISION) at = writeNumber(sessionsClosedAt, REVISION_BYTES, at);
  at = writeNumber(record.createdAtMs, TIME_BYTES, at);
  if (activatedAtMs !== undefined) at = writeNumber(activatedAtMs, TIME_BYTES, at);
  if (activationTimeoutS !== 0) at = writeNumber(activationTimeoutS, TIMEOUT_BYTES, at);
  at = writeSlot(credentials.primary, at);
  at = writeSlot(credentials.secondary, at);
  if (retirement !== undefined) at = writeRetirement(retirement, credentials.secondary, at);
  return at;
}

/** The record again; undefined: there is none. */
export function expand(deviceId: DeviceId, text: string): DeviceRecord | undefined {
  if (text.length === RECORD_AT) return undefined;
  const cursor = { text, at: RECORD_AT + 1 };
  const flags = text.charCodeAt(RECORD_AT);
  const revision = takeNumber(cursor, REVISION_BYTES) as Revision;
  const sessionsClosedAt = (flags & FLAG.CLOSED ? takeNumber(cursor, REVISION_BYTES) : NO_REVISION) as Revision;
  const createdAtMs = takeNumber(cursor, TIME_BYTES);
  const activatedAtMs = flags & FLAG.ACTIVATED ? takeNumber(cursor, TIME_BYTES) : undefined;
  const activationTimeoutS = flags & FLAG.TIMEOUT ? takeNumber(cursor, TIMEOUT_BYTES) : 0;
  const credentials = flags & FLAG.CERTIFICATE ? takeCertificates(cursor, flags) : takeSecrets(cursor, flags);
  const retirement = flags & FLAG.RETIRES ? takeRetirement(cursor, credentials) : undefined;
  const frozen = (flags & FLAG.FROZEN) !== 0;
  // One literal: this is made for every decision, and a spread costs more than all that it holds.
  // biome-ignore format: one line
  return { deviceId, credentials, frozen, createdAtMs, activatedAtMs, activationTimeoutS, retirement, revision, sessionsClosedAt };
}

function flagsOf(record: DeviceRecord): number {
  const { credentials } = record;
  const kind =
    credentials.kind === 'CERTIFICATE'
      ? FLAG.CERTIFICATE | (credentials.requireTrustedCa ? FLAG.TRUSTED_CA : 0)
      : credentials.format === 'HEX'
        ? FLAG.HEX
        : 0;
  return (
    kind |
    (record.frozen ? FLAG.FROZEN : 0) |
    (record.activatedAtMs === undefined ? 0 : FLAG.ACTIVATED) |
    (record.retirement === undefined ? 0 : FLAG.RETIRES) |
    (record.sessionsClosedAt === NO_REVISION ? 0 : FLAG.CLOSED) |
    (record.activationTimeoutS === 0 ? 0 : FLAG.TIMEOUT)
  );
}

function writeNumber(value: number, bytes: number, at: number): number {
  if (bytes <= TIME_BYTES) return room.writeUIntBE(value, at, bytes);
  return room.writeUIntBE(value % BEYOND_TIME, room.writeUInt8(Math.floor(value / BEYOND_TIME), at), TIME_BYTES);
}

function writeText(text: string, at: number): number {
  return at + room.write(text, at, 'latin1');
}

function writeSlot(slot: AnySlot, at: number): number {
  if (slot.state === 'EMPTY') return room.writeUInt8(SLOT.EMPTY, at);
  if (slot.state === 'ARMED') return writeNumber(slot.setAtMs, TIME_BYTES, room.writeUInt8(SLOT.ARMED, at));
  const held = 'secret' in slot ? slot.secret.reveal() : slot.fingerprint;
  const boundBy = 'secret' in slot ? undefined : slot.boundBy;
  const { firstUsedAtMs } = slot;
  const state = SLOT.SET | (firstUsedAtMs === undefined ? 0 : SLOT.USED) | (boundBy === undefined ? 0 : SLOT.BOUND);
  let next = writeNumber(slot.setAtMs, TIME_BYTES, room.writeUInt8(state, at));
  if (firstUsedAtMs !== undefined) next = writeNumber(firstUsedAtMs, TIME_BYTES, next);
  next = writeText(slot.credentialId, next);
  next = writeText(held, room.writeUInt8(held.length, next));
  return boundBy === undefined ? next : writeText(boundBy, next);
}

function writeRetirement({ credentialId, when }: Retirement, secondary: AnySlot, at: number): number {
  const slot = secondary.state === 'SET' && secondary.credentialId === credentialId ? RETIRES.SECONDARY : 0;
  if (when === 'ON_OTHER_USED') return room.writeUInt8(slot, at);
  return writeNumber(when.atMs, TIME_BYTES, room.writeUInt8(slot | RETIRES.DEADLINE, at));
}

type Cursor = { readonly text: string; at: number };

function takeNumber(cursor: Cursor, bytes: number): number {
  const { text, at } = cursor;
  cursor.at = at + bytes;
  let value = 0;
  for (let index = at; index < at + bytes; index++) value = value * 256 + text.charCodeAt(index);
  return value;
}

function takeText(cursor: Cursor, length: number): string {
  const begin = cursor.at;
  cursor.at = begin + length;
  return cursor.text.slice(begin, begin + length);
}

function takeSecrets(cursor: Cursor, flags: number): SecretCredentials {
  const primary = takeSecret(cursor);
  return { kind: 'SECRET', format: flags & FLAG.HEX ? 'HEX' : 'TEXT', primary, secondary: takeSecret(cursor) };
}

function takeSecret(cursor: Cursor): EmptySlot | SecretSlot {
  const state = takeNumber(cursor, 1);
  if (state === SLOT.EMPTY) return EMPTY;
  const setAtMs = takeNumber(cursor, TIME_BYTES);
  const firstUsedAtMs = state & SLOT.USED ? takeNumber(cursor, TIME_BYTES) : undefined;
  const credentialId = takeText(cursor, CREDENTIAL_ID_LENGTH) as CredentialId;
  const secret = new Secret(takeText(cursor, takeNumber(cursor, 1)));
  return { state: 'SET', credentialId, setAtMs, firstUsedAtMs, secret };
}

function takeCertificates(cursor: Cursor, flags: number): CertificateCredentials {
  const requireTrustedCa = (flags & FLAG.TRUSTED_CA) !== 0;
  const primary = takeFingerprint(cursor);
  const secondary = takeFingerprint(cursor);
  if (secondary.state === 'ARMED') throw new Error('a secondary slot is never armed');
  return { kind: 'CERTIFICATE', requireTrustedCa, primary, secondary };
}

function takeFingerprint(cursor: Cursor): EmptySlot | ArmedSlot | FingerprintSlot {
  const state = takeNumber(cursor, 1);
  if (state === SLOT.EMPTY) return EMPTY;
  const setAtMs = takeNumber(cursor, TIME_BYTES);
  if (state === SLOT.ARMED) return { state: 'ARMED', setAtMs };
  const firstUsedAtMs = state & SLOT.USED ? takeNumber(cursor, TIME_BYTES) : undefined;
  const credentialId = takeText(cursor, CREDENTIAL_ID_LENGTH) as CredentialId;
  const fingerprint = takeText(cursor, takeNumber(cursor, 1));
  const boundBy = state & SLOT.BOUND ? takeText(cursor, CA_ID_LENGTH) : undefined;
  return { state: 'SET', credentialId, setAtMs, firstUsedAtMs, fingerprint, boundBy };
}

function takeRetirement(cursor: Cursor, credentials: DeviceRecord['credentials']): Retirement {
  const flags = takeNumber(cursor, 1);
  const retiring = flags & RETIRES.SECONDARY ? credentials.secondary : credentials.primary;
  if (retiring.state !== 'SET') throw new Error('what retires is in a slot');
  const { credentialId } = retiring;
  if ((flags & RETIRES.DEADLINE) === 0) return { credentialId, when: 'ON_OTHER_USED' };
  return { credentialId, when: { atMs: takeNumber(cursor, TIME_BYTES) } };
}
