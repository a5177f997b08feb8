// As much of DER (ITU-T X.690) as Node does not show of a certificate. It may come from anywhere: nothing is believed of a
// length, and each function passes over its bytes once.

/** An element: its tag, where it begins, and where its content begins and ends. */
export type Element = { readonly tag: number; readonly from: number; readonly start: number; readonly end: number };

/** An extension of a certificate, RFC 5280 section 4.1.2.9. */
export type Extension = {
  /** Its object identifier as DER content, in hex. */
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
};

/** The universal tags that are read here. */
export const TAG = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  OID: 0x06,
  SEQUENCE: 0x30,
  SET: 0x31,
} as const;
/** The extensions among the parts of a certificate's body: `[3] EXPLICIT`. */
const EXTENSIONS = 0xa3;
/** Orders of the curves P-256, P-384 and P-521 (FIPS 186-5), the smallest first. */
const ORDERS = [
  0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  0x1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
];

/** The element that begins there and ends before `limit`; undefined when none does. */
function elementAt(bytes: Uint8Array, from: number, limit: number): Element | undefined {
  const [tag, first] = [bytes[from], bytes[from + 1]];
  if (tag === undefined || first === undefined) return undefined;
  // Three bytes of length hold 16 MiB, many times the longest certificate and the longest CRL.
  const lengthBytes = first < 0x80 ? 0 : first - 0x80;
  if (first === 0x80 || lengthBytes > 3) return undefined;
  let length = lengthBytes === 0 ? first : 0;
  for (let at = 0; at < lengthBytes; at++) length = length * 256 + (bytes[from + 2 + at] ?? 0);
  const start = from + 2 + lengthBytes;
  return start + length <= limit ? { tag, from, start, end: start + length } : undefined;
}

/** What an element of constructed content holds; undefined when that is no row of elements. */
export function partsOf(
  bytes: Uint8Array,
  { start, end }: Pick<Element, 'start' | 'end'>,
): readonly Element[] | undefined {
  const parts: Element[] = [];
  for (let at = start; at < end; ) {
    const part = elementAt(bytes, at, end);
    if (part === undefined) return undefined;
    parts.push(part);
    at = part.end;
  }
  return parts;
}

/** What an element holds, if it has this tag and is a row of elements. */
export function within(bytes: Uint8Array, element: Element | undefined, tag: number): readonly Element[] | undefined {
  return element?.tag === tag ? partsOf(bytes, element) : undefined;
}

/** All extensions of a certificate; undefined when they cannot be read. */
export function extensionsOf(der: Uint8Array): readonly Extension[] | undefined {
  const [certificate] = partsOf(der, { start: 0, end: der.length }) ?? [];
  const [body] = within(der, certificate, TAG.SEQUENCE) ?? [];
  const parts = within(der, body, TAG.SEQUENCE);
  const last = parts?.at(-1);
  if (last?.tag !== EXTENSIONS) return parts && [];
  const [list] = partsOf(der, last) ?? [];
  return extensionsIn(der, list);
}

/** The extensions of a list of them; undefined when they cannot be read. */
export function extensionsIn(der: Uint8Array, list: Element | undefined): readonly Extension[] | undefined {
  const extensions = within(der, list, TAG.SEQUENCE)?.map((one) => extensionOf(der, one));
  return extensions?.every((one) => one !== undefined) ? extensions : undefined;
}

function extensionOf(der: Uint8Array, element: Element): Extension | undefined {
  const [oid, ...rest] = within(der, element, TAG.SEQUENCE) ?? [];
  const value = rest.at(-1);
  if (oid?.tag !== TAG.OID || value?.tag !== TAG.OCTET_STRING) return undefined;
  const flag = rest.length === 2 ? rest[0] : undefined;
  return {
    oid: Buffer.from(der.subarray(oid.start, oid.end)).toString('hex'),
    critical: flag?.tag === TAG.BOOLEAN && der[flag.start] !== 0,
    value: der.subarray(value.start, value.end),
  };
}

/** Bits of the plain key usage, RFC 5280 section 4.2.1.3, in the first byte. */
export const KEY_USAGE = { DIGITAL_SIGNATURE: 0x80, KEY_AGREEMENT: 0x08, CRL_SIGN: 0x02 } as const;

/** The object identifier of the extension key usage. */
const KEY_USAGE_OID = '551d0f';

/** What the key of a certificate may be used for; undefined: for all; 0: for none that is known here, or it cannot be read. */
export function keyUsageOf(der: Uint8Array): number | undefined {
  const extensions = extensionsOf(der);
  if (extensions === undefined) return 0;
  const usage = extensions.find(({ oid }) => oid === KEY_USAGE_OID)?.value;
  if (usage === undefined) return undefined;
  const [bits] = partsOf(usage, { start: 0, end: usage.length }) ?? [];
  // The first byte of a bit string tells how many bits of the last one are left over.
  return bits?.tag === TAG.BIT_STRING && bits.end > bits.start + 1 ? (usage[bits.start + 1] ?? 0) : 0;
}

/** The path length in the value of a basic constraints extension, RFC 5280 section 4.2.1.9; undefined: there is no limit. */
export function pathLengthIn(value: Uint8Array): number | undefined {
  const [constraints] = partsOf(value, { start: 0, end: value.length }) ?? [];
  const last = within(value, constraints, TAG.SEQUENCE)?.at(-1);
  if (last?.tag !== TAG.INTEGER) return undefined;
  return Number(integerIn(value, last));
}

/**
 * The same certificate with the other ECDSA signature that verifies: (r, n - s) does where (r, s) does, so that whoever
 * holds a certificate can show it under two fingerprints. Undefined: it has no signature of one of the three curves. Other
 * kinds of signatures, and the rest of a certificate, have one form only that OpenSSL takes.
 */
export function twinOf(der: Uint8Array): Uint8Array | undefined {
  const [certificate] = partsOf(der, { start: 0, end: der.length }) ?? [];
  const [body, algorithm, signature] = within(der, certificate, TAG.SEQUENCE) ?? [];
  if (body === undefined || algorithm === undefined || signature?.tag !== TAG.BIT_STRING) return undefined;
  // The first byte of a bit string tells how many bits of the last one are left over.
  const [pair] = partsOf(der, { start: signature.start + 1, end: signature.end }) ?? [];
  const [r, s, ...more] = within(der, pair, TAG.SEQUENCE) ?? [];
  if (r?.tag !== TAG.INTEGER || s?.tag !== TAG.INTEGER || more.length > 0) return undefined;
  const [first, second] = [integerIn(der, r), integerIn(der, s)];
  const order = ORDERS.find((one) => first < one && second < one);
  if (order === undefined || second === 0n) return undefined;
  const other = element(TAG.SEQUENCE, Buffer.concat([der.subarray(r.from, r.end), integer(order - second)]));
  return element(
    TAG.SEQUENCE,
    Buffer.concat([
      der.subarray(body.from, algorithm.end),
      element(TAG.BIT_STRING, Buffer.concat([Buffer.of(0), other])),
    ]),
  );
}

/** The content of an INTEGER as a number without sign. */
export function integerIn(bytes: Uint8Array, { start, end }: Element): bigint {
  return BigInt(`0x0${Buffer.from(bytes.subarray(start, end)).toString('hex')}`);
}

function integer(value: bigint): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  // A leading one would be a sign.
  return element(TAG.INTEGER, (bytes[0] ?? 0) < 0x80 ? bytes : Buffer.concat([Buffer.of(0), bytes]));
}

function element(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...head), content]);
}
