import { hash } from 'node:crypto';
import { type Element, integerIn, partsOf, TAG, within } from './der.ts';

/** The version among the parts of a certificate's body: `[0] EXPLICIT`. */
const VERSION = 0xa0;
/** Hex characters of each half: 128 bits. Whoever finds two names or two numbers with one hash shuts out his own certificates. */
const HALF = 32;
/** Kinds of text that differ in their bytes alone: UTF8String, PrintableString, TeletexString, IA5String. */
const TEXTS: ReadonlySet<number> = new Set([0x0c, 0x13, 0x14, 0x16]);
const BMP_STRING = 0x1e;

/**
 * Names a certificate by its issuer's name and its serial number (RFC 5280 section 4.1.2.2), as CRLs do: `i`, and 32 hex
 * characters of the hash of each.
 */
export function issuance(issuer: string, serial: string): string {
  return `i${issuer}${serial}`;
}

/** By what issuer, and under what number; undefined: the certificate cannot be read. */
export function issuanceOf(der: Uint8Array): string | undefined {
  const [number, , issuer] = bodyOf(der) ?? [];
  const [name, serial] = [nameIn(der, issuer), number && serialIn(der, number)];
  return name === undefined || serial === undefined ? undefined : issuance(name, serial);
}

/** The hash of the certificate's own name, as `issuance` takes an issuer; undefined: it cannot be read. */
export function subjectOf(der: Uint8Array): string | undefined {
  return nameIn(der, bodyOf(der)?.[4]);
}

/** The hash of a name. Two names are one if OpenSSL takes them for one: their text counts, not its encoding, spaces or case. */
export function nameIn(bytes: Uint8Array, name: Element | undefined): string | undefined {
  const parts = within(bytes, name, TAG.SEQUENCE)?.map((set) => within(bytes, set, TAG.SET)?.map(attributeIn(bytes)));
  if (parts === undefined || !parts.every((set) => set?.every((one) => one !== undefined))) return undefined;
  return hash('sha256', JSON.stringify(parts), 'hex').slice(0, HALF);
}

/** The hash of a serial number; undefined: it is none. */
export function serialIn(bytes: Uint8Array, number: Element): string | undefined {
  if (number.tag !== TAG.INTEGER) return undefined;
  return hash('sha256', integerIn(bytes, number).toString(16), 'hex').slice(0, HALF);
}

/** Serial number, algorithm, issuer, validity, subject and what follows. */
function bodyOf(der: Uint8Array): readonly Element[] | undefined {
  const [certificate] = partsOf(der, { start: 0, end: der.length }) ?? [];
  const [body] = within(der, certificate, TAG.SEQUENCE) ?? [];
  const parts = within(der, body, TAG.SEQUENCE);
  return parts?.[0]?.tag === VERSION ? parts.slice(1) : parts;
}

function attributeIn(bytes: Uint8Array): (attribute: Element) => readonly string[] | undefined {
  return (attribute) => {
    const [oid, value, ...more] = within(bytes, attribute, TAG.SEQUENCE) ?? [];
    if (oid?.tag !== TAG.OID || value === undefined || more.length > 0) return undefined;
    return [Buffer.from(bytes.subarray(oid.start, oid.end)).toString('hex'), wordsIn(bytes, value)];
  };
}

function wordsIn(bytes: Uint8Array, { tag, start, end }: Element): string {
  const content = Buffer.from(bytes.subarray(start, end));
  if (!TEXTS.has(tag) && tag !== BMP_STRING) return `${tag}:${content.toString('hex')}`;
  // Big-endian, two bytes a character; an odd byte at the end is no character.
  const isWide = tag === BMP_STRING && content.length % 2 === 0;
  const text = isWide ? content.swap16().toString('utf16le') : content.toString('utf8');
  return text.trim().replaceAll(/\s+/g, ' ').toLowerCase();
}
