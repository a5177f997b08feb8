import { type DeviceRecord, type DeviceState, isTrustKey, type TrustKey, type TrustSet } from '@latchkey/credential';
import { type DeviceId, type Random, type Revision, toRevision } from '@latchkey/kernel';
import { LayoutError, takeBytes, takeUint, uint } from './bytes.ts';
import { type Keyring, keyReference, open, seal } from './keyring.ts';
import { packedId, packOpen, packSecrets, unpackState } from './layout.ts';
import type { RecordKey, TrustRecord } from './store.ts';
import { packSet, unpackSet } from './trust-layout.ts';

// A record, in every store:
//   header: format u8 = 1 | revision u64 | sessions closed at u64      filled by the store when it writes
//   body:   length u8 of the sealed part | sealed part | open part     see layout.ts
// One sealing covers both secrets and, as additional data, the whole open part: device id, kind and credential ids, and
// also flags, times and fingerprints. So a part that was altered, or taken from another record, does not open. A set of
// what is trusted has the same form: its open part is in trust-layout.ts, and what is sealed is empty.

/** The format in a record's first byte. */
export const RECORD_FORMAT = 1;

/** Bytes before the body: format 1, revision 8, sessions closed at 8. */
export const HEADER_BYTES = 17;

/** No record is longer: 448 bytes with the longest device id, two used and bound fingerprints and a retirement; the rest is reserve. */
export const RECORD_MAX_BYTES = 512;

/** No trust set is longer: 1.7 MB with a hundred CAs of 16 KiB or a hundred thousand revoked certificates; disabled ones take less. */
export const TRUST_MAX_BYTES = 2_097_152;

const CONTEXT = Buffer.from(`latchkey record ${RECORD_FORMAT}\0`);
// One for all records, with the context in front: nothing awaits between the copy and the opening.
const bound = Buffer.concat([CONTEXT], CONTEXT.length + RECORD_MAX_BYTES);
const TRUST_CONTEXT = Buffer.from(`latchkey trust ${RECORD_FORMAT}\0`);

/** The bytes are no record of the device, or the state cannot be packed; says which device, never a secret. */
export class RecordError extends Error {
  override readonly name = 'RecordError';
}

function explained<T>(what: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (!(error instanceof LayoutError || error instanceof RangeError)) throw error;
    throw new RecordError(`${what}: ${error.message}`);
  }
}

/** A record's name for people. */
function named(key: RecordKey): string {
  return isTrustKey(key) ? `the trust set ${key}` : `the record of device ${key}`;
}

function damaged(key: RecordKey): string {
  return `${named(key)} is damaged or of a newer version`;
}

/** A record's body: the state with its secrets sealed under the current key. Throws a RecordError when it does not fit. */
export function packState(state: DeviceState, keyring: Keyring, random: Random): Uint8Array {
  return explained(`device ${state.deviceId} cannot be stored`, () => {
    const clear = packOpen(state);
    const sealed = seal(keyring, packSecrets(state), Buffer.concat([CONTEXT, clear]), random);
    return Buffer.concat([uint(sealed.length, 1), sealed, clear]);
  });
}

/** A trust set's body, sealed against alteration under the current key. Throws a RecordError when it does not fit. */
export function packTrust(key: TrustKey, set: TrustSet, keyring: Keyring, random: Random): Uint8Array {
  return explained(`${named(key)} cannot be stored`, () => {
    const clear = packSet(key, set);
    const sealed = seal(keyring, new Uint8Array(), Buffer.concat([TRUST_CONTEXT, clear]), random);
    const body = Buffer.concat([uint(sealed.length, 1), sealed, clear]);
    if (HEADER_BYTES + body.length > TRUST_MAX_BYTES) throw new LayoutError('it is too long');
    return body;
  });
}

/** A whole record: the header with its revision, then the body. */
export function withHeader(body: Uint8Array, revision: Revision, sessionsClosedAt: Revision): Uint8Array {
  const record = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  record.writeUInt8(RECORD_FORMAT, 0);
  record.writeBigUInt64BE(BigInt(revision), 1);
  record.writeBigUInt64BE(BigInt(sessionsClosedAt), 9);
  record.set(body, HEADER_BYTES);
  return record;
}

/** What a record's header says. */
export type RecordHeader = Pick<DeviceRecord, 'revision' | 'sessionsClosedAt'>;

function takeHeader(bytes: Buffer, key: RecordKey): RecordHeader {
  if (bytes.length > (isTrustKey(key) ? TRUST_MAX_BYTES : RECORD_MAX_BYTES)) throw new LayoutError('it is too long');
  const cursor = { bytes, at: 0 };
  if (takeUint(cursor, 1) !== RECORD_FORMAT) throw new LayoutError('its format is unknown');
  const revision = toRevision(takeUint(cursor, 8));
  const sessionsClosedAt = toRevision(takeUint(cursor, 8));
  if (revision === 0 || sessionsClosedAt > revision) throw new LayoutError('its revisions cannot be');
  return { revision, sessionsClosedAt };
}

function bodyOf(bytes: Buffer): { readonly sealed: Buffer; readonly clear: Buffer } {
  const cursor = { bytes, at: HEADER_BYTES };
  const sealed = takeBytes(cursor, takeUint(cursor, 1));
  return { sealed, clear: bytes.subarray(cursor.at) };
}

/** What is bound to a record's secrets; its open part is no longer than a record. */
function boundTo(clear: Buffer): Buffer {
  return bound.subarray(0, CONTEXT.length + clear.copy(bound, CONTEXT.length));
}

function asBuffer(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The header of a record, or of its first bytes. Throws a RecordError when there is none. */
export function headerOf(bytes: Uint8Array, key: RecordKey): RecordHeader {
  return explained(damaged(key), () => takeHeader(asBuffer(bytes), key));
}

/** The revision in a record's header. Throws a RecordError when there is none. */
export function revisionOf(bytes: Uint8Array, key: RecordKey): Revision {
  return headerOf(bytes, key).revision;
}

/** The reference of the key that a record is sealed under; without opening it. */
export function sealedUnder(bytes: Uint8Array, key: RecordKey): string {
  return explained(damaged(key), () => keyReference(bodyOf(asBuffer(bytes)).sealed));
}

/**
 * The record in `bytes`, which must be the one of `expectedId`. Throws a RecordError when it is not or has another
 * layout, and a SealingError when its key is missing or its content was altered.
 */
export function unpackRecord(bytes: Uint8Array, keyring: Keyring, expectedId: DeviceId): DeviceRecord {
  return explained(damaged(expectedId), () => {
    const buffer = asBuffer(bytes);
    const header = takeHeader(buffer, expectedId);
    const { sealed, clear } = bodyOf(buffer);
    if (packedId(clear) !== expectedId) throw new LayoutError('it is the record of another device');
    const opened = open(keyring, sealed, boundTo(clear), named(expectedId));
    return { ...unpackState(expectedId, clear, opened), ...header };
  });
}

/** The trust set in `bytes`, which must be the one of `expectedKey`. Throws as `unpackRecord` does. */
export function unpackTrust(bytes: Uint8Array, keyring: Keyring, expectedKey: TrustKey): TrustRecord {
  return explained(damaged(expectedKey), () => {
    const buffer = asBuffer(bytes);
    const { revision } = takeHeader(buffer, expectedKey);
    const { sealed, clear } = bodyOf(buffer);
    if (packedId(clear) !== expectedKey) throw new LayoutError('it is another set');
    open(keyring, sealed, Buffer.concat([TRUST_CONTEXT, clear]), named(expectedKey));
    return { ...unpackSet(clear), revision };
  });
}
