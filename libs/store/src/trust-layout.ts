import {
  type Ca,
  type CaStatus,
  type Crl,
  type DisabledCertificate,
  fingerprintsOf,
  type TrustKey,
  type TrustSet,
} from '@latchkey/credential';
import { type Cursor, LayoutError, takeBytes, takeEnd, takeText, takeUint, text, uint } from './bytes.ts';

// A set of what is trusted: key (length u8, ASCII) | CAs u8, each: certificate (length u16, DER) | status u8
//   | verify code (length u8, ASCII)
//   | disabled certificates u16, each: fingerprint (length u8, bytes) | since u48 | note (length u16, UTF-8)
//   | if any: CRLs u8, each: CA's id 32 | CA's hashed name 16 | number (length u8, bytes; none: empty) | this update u48
//     | next update u48 | revoked u32, each: hashed serial number 16

const STATUSES: readonly CaStatus[] = ['UNVERIFIED', 'TRUSTED', 'DISABLED'];
const FINGERPRINT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;
const TIME_BYTES = 6;
const CA_ID_BYTES = 32;
/** Of a hashed name or serial number. */
const HASH_BYTES = 16;

function packCa({ der, status, verifyCode }: Ca): Buffer {
  return Buffer.concat([uint(der.length, 2), der, uint(STATUSES.indexOf(status), 1), text(verifyCode)]);
}

function takeCa(cursor: Cursor): Ca {
  // A copy: the set lives longer than what it was read from.
  const der = Uint8Array.from(takeBytes(cursor, takeUint(cursor, 2)));
  const status = STATUSES[takeUint(cursor, 1)];
  if (status === undefined) throw new LayoutError('a CA has an unknown status');
  return { caId: fingerprintsOf(der).sha256, der, status, verifyCode: takeText(cursor) };
}

function packDisabled({ fingerprint, disabledAtMs, note }: DisabledCertificate): Buffer {
  if (!FINGERPRINT.test(fingerprint)) throw new LayoutError('a fingerprint is not 40 or 64 lowercase hex digits');
  const bytes = Buffer.from(fingerprint, 'hex');
  const words = Buffer.from(note);
  return Buffer.concat([
    ...[uint(bytes.length, 1), bytes, uint(disabledAtMs, TIME_BYTES)],
    ...[uint(words.length, 2), words],
  ]);
}

function takeDisabled(cursor: Cursor): DisabledCertificate {
  const fingerprint = takeBytes(cursor, takeUint(cursor, 1)).toString('hex');
  if (!FINGERPRINT.test(fingerprint)) throw new LayoutError('a fingerprint has a wrong length');
  const disabledAtMs = takeUint(cursor, TIME_BYTES);
  return { fingerprint, disabledAtMs, note: takeBytes(cursor, takeUint(cursor, 2)).toString() };
}

function packCrl({ caId, issuer, number, thisUpdateMs, nextUpdateMs, revoked }: Crl): Buffer {
  const digits = number?.toString(16) ?? '';
  const bytes = Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex');
  const serials = Buffer.from(revoked.map((mark) => mark.slice(-2 * HASH_BYTES)).join(''), 'hex');
  if (serials.length !== revoked.length * HASH_BYTES || !revoked.every((mark) => mark.startsWith(`i${issuer}`)))
    throw new LayoutError('a CRL revokes what its CA has not issued');
  return Buffer.concat([
    ...[Buffer.from(caId, 'hex'), Buffer.from(issuer, 'hex'), uint(bytes.length, 1), bytes],
    ...[uint(thisUpdateMs, TIME_BYTES), uint(nextUpdateMs, TIME_BYTES), uint(revoked.length, 4), serials],
  ]);
}

function takeCrl(cursor: Cursor): Crl {
  const caId = takeBytes(cursor, CA_ID_BYTES).toString('hex');
  const issuer = takeBytes(cursor, HASH_BYTES).toString('hex');
  const number = takeBytes(cursor, takeUint(cursor, 1)).toString('hex');
  const [thisUpdateMs, nextUpdateMs] = [takeUint(cursor, TIME_BYTES), takeUint(cursor, TIME_BYTES)];
  const count = takeUint(cursor, 4);
  const serials = takeBytes(cursor, count * HASH_BYTES).toString('hex');
  const revoked = Array.from({ length: count }, (_, at) => {
    const from = at * 2 * HASH_BYTES;
    return `i${issuer}${serials.slice(from, from + 2 * HASH_BYTES)}`;
  });
  return {
    caId,
    issuer,
    number: number === '' ? undefined : BigInt(`0x${number}`),
    thisUpdateMs,
    nextUpdateMs,
    revoked,
  };
}

/** A set in bytes. Throws a LayoutError on one that does not fit. */
export function packSet(key: TrustKey, { cas, disabled, crls }: TrustSet): Buffer {
  return Buffer.concat([
    ...[text(key), uint(cas.length, 1), ...cas.map(packCa)],
    ...[uint(disabled.length, 2), ...disabled.map(packDisabled)],
    ...(crls.length === 0 ? [] : [uint(crls.length, 1), ...crls.map(packCrl)]),
  ]);
}

/** The set again. Throws a LayoutError on anything but what was packed. */
export function unpackSet(bytes: Buffer): TrustSet {
  const cursor = { bytes, at: 0 };
  takeText(cursor);
  const cas = Array.from({ length: takeUint(cursor, 1) }, () => takeCa(cursor));
  const disabled = Array.from({ length: takeUint(cursor, 2) }, () => takeDisabled(cursor));
  const hasCrls = cursor.at < bytes.length;
  const crls = hasCrls ? Array.from({ length: takeUint(cursor, 1) }, () => takeCrl(cursor)) : [];
  takeEnd(cursor);
  return { cas, disabled, crls };
}
