import { status } from '@grpc/grpc-js';
import type { Basis } from '@latchkey/credential';
import { RpcError } from '@latchkey/rpc';

// What a grant by certificate rests on, as sessions carry it: entries of a byte that says what follows, and a hash. Eight
// certificates, each with its twin in two forms and its issuance, and two CAs take 1194 bytes.

const SIZES: Readonly<Record<number, number>> = { 1: 20, 2: 32, 3: 32, 4: 32 };
const [SHA1, SHA256, CA, ISSUANCE] = [1, 2, 3, 4];

/** A basis in bytes; none is empty. */
export function packBasis(basis: Basis | undefined): Uint8Array {
  const { marks = [], caIds = [] } = basis ?? {};
  return Buffer.concat([
    ...marks.map((mark) =>
      mark.startsWith('i') ? entry(ISSUANCE, mark.slice(1)) : entry(mark.length === 40 ? SHA1 : SHA256, mark),
    ),
    ...caIds.map((hex) => entry(CA, hex)),
  ]);
}

/** The basis again; undefined when it is empty. Throws INVALID_ARGUMENT when it is none of this service. */
export function unpackBasis(bytes: Uint8Array): Basis | undefined {
  if (bytes.length === 0) return undefined;
  const marks: string[] = [];
  const caIds: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const kind = bytes[at] ?? 0;
    const end = at + 1 + (SIZES[kind] ?? Number.POSITIVE_INFINITY);
    if (end > bytes.length) throw new RpcError(status.INVALID_ARGUMENT, 'basis: not one of this service');
    const hex = Buffer.from(bytes.subarray(at + 1, end)).toString('hex');
    (kind === CA ? caIds : marks).push(kind === ISSUANCE ? `i${hex}` : hex);
    at = end;
  }
  return { marks, caIds };
}

function entry(kind: number, hex: string): Buffer {
  return Buffer.concat([Buffer.of(kind), Buffer.from(hex, 'hex')]);
}
