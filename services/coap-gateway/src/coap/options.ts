import { OPTION } from './codes.ts';
import type { Option } from './message.ts';

/** An option's value as a number; empty is 0 (RFC 7252 3.2). At most 4 bytes. */
export function readUint(value: Buffer): number {
  return value.length === 0 ? 0 : value.readUIntBE(0, value.length);
}

/** A number as an option, in as few bytes as it needs. */
export function uintOption(number: number, value: number): Option {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  const first = bytes.findIndex((byte) => byte !== 0);
  return { number, value: first === -1 ? Buffer.alloc(0) : bytes.subarray(first) };
}

/** A text as an option. */
export function textOption(number: number, text: string): Option {
  return { number, value: Buffer.from(text) };
}

/** What a block option says (RFC 7959 2.2). */
export type Block = {
  /** 0 to 2^20 - 1. */
  readonly number: number;
  /** Another one follows. */
  readonly hasMore: boolean;
  /** Its size is 2^(exponent + 4) bytes; 0 to 6. */
  readonly exponent: number;
};

/** The largest block: 1024 bytes. */
export const MAX_EXPONENT = 6;

/** Bytes of a block. */
export function blockBytes(exponent: number): number {
  return 2 ** (exponent + 4);
}

/** A block option's bytes. */
export function blockOption(number: number, { number: block, hasMore, exponent }: Block): Option {
  return uintOption(number, (block << 4) | (hasMore ? 8 : 0) | exponent);
}

function readBlock(value: Buffer): Block {
  const bits = readUint(value);
  return { number: bits >> 4, hasMore: (bits & 8) !== 0, exponent: bits & 7 };
}

type Form = { readonly minBytes: number; readonly maxBytes: number; readonly isRepeatable?: boolean };

/** The options that are understood in a request, by their forms (RFC 7252 5.10, RFC 7641 2, RFC 7959 2.1, RFC 9175 3.2). */
const FORMS: ReadonlyMap<number, Form> = new Map<number, Form>([
  [OPTION.URI_HOST, { minBytes: 1, maxBytes: 255 }],
  [OPTION.OBSERVE, { minBytes: 0, maxBytes: 3 }],
  [OPTION.URI_PORT, { minBytes: 0, maxBytes: 2 }],
  [OPTION.URI_PATH, { minBytes: 0, maxBytes: 255, isRepeatable: true }],
  [OPTION.CONTENT_FORMAT, { minBytes: 0, maxBytes: 2 }],
  [OPTION.URI_QUERY, { minBytes: 0, maxBytes: 255, isRepeatable: true }],
  [OPTION.ACCEPT, { minBytes: 0, maxBytes: 2 }],
  [OPTION.BLOCK2, { minBytes: 0, maxBytes: 3 }],
  [OPTION.BLOCK1, { minBytes: 0, maxBytes: 3 }],
  [OPTION.PROXY_URI, { minBytes: 1, maxBytes: 1034 }],
  [OPTION.PROXY_SCHEME, { minBytes: 1, maxBytes: 255 }],
  [OPTION.SIZE1, { minBytes: 0, maxBytes: 4 }],
  [OPTION.REQUEST_TAG, { minBytes: 0, maxBytes: 8, isRepeatable: true }],
]);

/** What the options of a request say. */
export type RequestOptions = {
  readonly path: readonly string[];
  readonly query: readonly string[];
  readonly accept: number | undefined;
  readonly observe: number | undefined;
  readonly block1: Block | undefined;
  readonly block2: Block | undefined;
  readonly size1: number | undefined;
  /** The bytes of all Request-Tags in hex, to tell bodies from one another. */
  readonly requestTag: string;
  /** It is meant for another server. */
  readonly isForProxy: boolean;
};

/** Odd numbers are critical: who does not understand one must not go on (RFC 7252 5.4.1). */
export function isCritical(number: number): boolean {
  return (number & 1) === 1;
}

/**
 * Reads the options of a request; undefined: a critical one is not understood, which a wrong length, one too many, or a text
 * that is no UTF-8 amount to (RFC 7252 5.4.3, 5.4.5). Elective ones of that sort are passed over.
 */
export function readRequestOptions(options: readonly Option[]): RequestOptions | undefined {
  const known: Option[] = [];
  const seen = new Set<number>();
  for (const option of options) {
    const { number } = option;
    if (isUnderstood(option, seen.has(number))) known.push(option);
    else if (isCritical(number)) return undefined;
    seen.add(number);
  }
  const values = (number: number) => known.filter((option) => option.number === number).map(({ value }) => value);
  const uint = (number: number) => values(number).map(readUint)[0];
  const block = (number: number) => values(number).map(readBlock)[0];
  const path = values(OPTION.URI_PATH).map(readText);
  const query = values(OPTION.URI_QUERY).map(readText);
  if (!path.every(isText) || !query.every(isText)) return undefined;
  return {
    ...{ path, query, block1: block(OPTION.BLOCK1), block2: block(OPTION.BLOCK2) },
    ...{ accept: uint(OPTION.ACCEPT), observe: uint(OPTION.OBSERVE), size1: uint(OPTION.SIZE1) },
    requestTag: values(OPTION.REQUEST_TAG)
      .map((tag) => `${tag.toString('hex')};`)
      .join(''),
    isForProxy: values(OPTION.PROXY_URI).length + values(OPTION.PROXY_SCHEME).length > 0,
  };
}

function isUnderstood({ number, value }: Option, isRepeated: boolean): boolean {
  const form = FORMS.get(number);
  if (form === undefined || (isRepeated && !form.isRepeatable)) return false;
  return value.length >= form.minBytes && value.length <= form.maxBytes;
}

function readText(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function isText(text: string | undefined): text is string {
  return text !== undefined;
}
