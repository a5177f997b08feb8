import { type KeyObject, verify, type X509Certificate } from 'node:crypto';
import {
  type Element,
  type Extension,
  extensionsIn,
  integerIn,
  KEY_USAGE,
  keyUsageOf,
  partsOf,
  TAG,
  within,
} from './der.ts';
import { nameIn, serialIn } from './issuance.ts';

/** Longest CRL in DER: some 17,000 revoked certificates, and in JSON it stays below an operator's longest request. */
const MAX_CRL_BYTES = 700_000;
const [UTC_TIME, GENERALIZED_TIME] = [0x17, 0x18];
/** The extensions among the parts of a CRL's body, `[0] EXPLICIT`. */
const EXTENSIONS = 0xa0;
/** The object identifier of the extension CRL number. */
const CRL_NUMBER = '551d14';
/** RFC 7468 section 6. */
const PEM_BLOCK = /-----BEGIN X509 CRL-----([^-]*)-----END X509 CRL-----/g;

/** How a key signs, by the object identifier of the algorithm; SHA-1 and RSA-PSS are not taken. */
const ALGORITHMS: Readonly<Record<string, readonly [keyType: string, digest: string | null]>> = {
  '2a864886f70d01010b': ['rsa', 'sha256'],
  '2a864886f70d01010c': ['rsa', 'sha384'],
  '2a864886f70d01010d': ['rsa', 'sha512'],
  '2a8648ce3d040302': ['ec', 'sha256'],
  '2a8648ce3d040303': ['ec', 'sha384'],
  '2a8648ce3d040304': ['ec', 'sha512'],
  '2b6570': ['ed25519', null],
  '2b6571': ['ed448', null],
};

/** What a CRL says, RFC 5280 section 5. */
export type ParsedCrl = {
  /** The hash of its issuer's name. */
  readonly issuer: string;
  readonly number: bigint | undefined;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  /** The hashes of the revoked serial numbers. */
  readonly serials: readonly string[];
  /** It is of a part, of changes or of other issuers, or says something that has to be understood and is not here. */
  readonly isPartial: boolean;
  readonly signed: Uint8Array;
  /** The object identifier of the signature's algorithm, in hex. */
  readonly algorithm: string;
  readonly signature: Uint8Array;
};

/** The CRL that the bytes are, in DER or PEM, and nothing else; undefined when they are none, or one without an end. */
export function parseCrl(bytes: Uint8Array): ParsedCrl | undefined {
  const der = derOf(bytes);
  if (der === undefined || der.length > MAX_CRL_BYTES) return undefined;
  const [list, ...after] = partsOf(der, { start: 0, end: der.length }) ?? [];
  const [body, algorithm, signature, ...more] = within(der, list, TAG.SEQUENCE) ?? [];
  const [oid] = within(der, algorithm, TAG.SEQUENCE) ?? [];
  if (after.length > 0 || more.length > 0 || body === undefined || algorithm === undefined) return undefined;
  // A first byte of 0: no bits of the last one are left over.
  if (oid?.tag !== TAG.OID || signature?.tag !== TAG.BIT_STRING || der[signature.start] !== 0) return undefined;
  const said = bodyIn(der, body, der.subarray(algorithm.from, algorithm.end));
  return (
    said && {
      ...said,
      signed: der.subarray(body.from, body.end),
      algorithm: Buffer.from(der.subarray(oid.start, oid.end)).toString('hex'),
      signature: der.subarray(signature.start + 1, signature.end),
    }
  );
}

/** May the CA sign CRLs, and did its key sign this one? */
export function isSignedBy({ algorithm, signed, signature }: ParsedCrl, ca: X509Certificate): boolean {
  const [keyType, digest] = ALGORITHMS[algorithm] ?? [];
  if (digest === undefined || !maySignCrls(ca)) return false;
  try {
    const key: KeyObject = ca.publicKey;
    return key.asymmetricKeyType === keyType && verify(digest, signed, key, signature);
  } catch {
    // A key that this OpenSSL does not know verifies nothing.
    return false;
  }
}

/** Is its signature made in one of the ways that are taken? */
export function isKnownAlgorithm({ algorithm }: ParsedCrl): boolean {
  return algorithm in ALGORITHMS;
}

function derOf(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes[0] === TAG.SEQUENCE) return bytes;
  const [block, ...more] = Buffer.from(bytes).toString('latin1').matchAll(PEM_BLOCK);
  return block === undefined || more.length > 0 ? undefined : Buffer.from(block[1] ?? '', 'base64');
}

type Body = Omit<ParsedCrl, 'signed' | 'algorithm' | 'signature'>;

function bodyIn(der: Uint8Array, body: Element, algorithm: Uint8Array): Body | undefined {
  const parts = within(der, body, TAG.SEQUENCE) ?? [];
  // The version is optional, and then 1 for version 2.
  const [inner, name, from, until, ...rest] = parts[0]?.tag === TAG.INTEGER ? parts.slice(1) : parts;
  // RFC 5280 section 5.1.1.2: the algorithm that is signed along is the one of the signature.
  if (inner === undefined || Buffer.compare(der.subarray(inner.from, inner.end), algorithm) !== 0) return undefined;
  const [issuer, thisUpdateMs, nextUpdateMs] = [nameIn(der, name), timeIn(der, from), timeIn(der, until)];
  if (issuer === undefined || thisUpdateMs === undefined || nextUpdateMs === undefined) return undefined;
  const revoked = rest[0]?.tag === TAG.SEQUENCE ? rest[0] : undefined;
  const [more, ...after] = revoked === undefined ? rest : rest.slice(1);
  const extensions = more === undefined ? [] : listIn(der, more);
  const entries = revoked === undefined ? [] : entriesIn(der, revoked);
  if (after.length > 0 || extensions === undefined || entries === undefined) return undefined;
  const isPartial = extensions.some(({ critical }) => critical) || entries.some(({ isOther }) => isOther);
  const number = extensions.find(({ oid }) => oid === CRL_NUMBER);
  return {
    ...{ issuer, thisUpdateMs, nextUpdateMs, isPartial },
    number: number && numberIn(number.value),
    serials: entries.map(({ serial }) => serial),
  };
}

type Entry = { readonly serial: string; readonly isOther: boolean };

function entriesIn(der: Uint8Array, revoked: Element): readonly Entry[] | undefined {
  const entries = partsOf(der, revoked)?.map((one) => entryIn(der, one));
  return entries?.every((entry) => entry !== undefined) ? entries : undefined;
}

function entryIn(der: Uint8Array, element: Element): Entry | undefined {
  const [number, date, list, ...more] = within(der, element, TAG.SEQUENCE) ?? [];
  const serial = number && serialIn(der, number);
  if (serial === undefined || timeIn(der, date) === undefined || more.length > 0) return undefined;
  const extensions = list === undefined ? [] : extensionsIn(der, list);
  // The critical one is certificateIssuer: the number is of another CA (RFC 5280 section 5.3.3).
  return extensions && { serial, isOther: extensions.some(({ critical }) => critical) };
}

function listIn(der: Uint8Array, element: Element): readonly Extension[] | undefined {
  const [list, ...more] = element.tag === EXTENSIONS ? (partsOf(der, element) ?? []) : [];
  return more.length > 0 ? undefined : extensionsIn(der, list);
}

function numberIn(value: Uint8Array): bigint | undefined {
  const [number] = partsOf(value, { start: 0, end: value.length }) ?? [];
  // RFC 5280 section 5.2.3: at most 20 bytes.
  if (number?.tag !== TAG.INTEGER || number.end - number.start > 20) return undefined;
  return integerIn(value, number);
}

/** RFC 5280 sections 4.1.2.5.1 and 4.1.2.5.2: to the second, in UTC, two digits of the year up to 2049. */
function timeIn(der: Uint8Array, element: Element | undefined): number | undefined {
  if (element?.tag !== UTC_TIME && element?.tag !== GENERALIZED_TIME) return undefined;
  const text = Buffer.from(der.subarray(element.start, element.end)).toString('latin1');
  const year = element.tag === GENERALIZED_TIME ? '' : text < '5' ? '20' : '19';
  const digits = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(year + text);
  if (digits === null) return undefined;
  const [, y, month, day, hour, minute, second] = digits;
  const ms = Date.parse(`${y}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(ms) || ms < 0 ? undefined : ms; // the store has no time before 1970
}

function maySignCrls({ raw }: X509Certificate): boolean {
  const usage = keyUsageOf(raw);
  return usage === undefined || (usage & KEY_USAGE.CRL_SIGN) !== 0;
}
