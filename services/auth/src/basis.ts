import { status } from '@grpc/grpc-js';
import type { Basis } from '@latchkey/credential';
import { RpcError } from '@latchkey/rpc';

// What a grant by certificate rests on, as sessions carry it: entries of a byte that says what follows, and a hash. Eight
// certificates, each with its twin and in two forms, and two CAs take 930 bytes.

const SIZES: Readonly<Record<number, number>> = { 1: 20, 2: 32, 3: 32 };
const [SHA1, SHA256, CA] = [1, 2, 3];

/** A basis in bytes; none is empty. */
export function packBasis(basis: Basis | undefined): Uint8Array {
  const { fingerprints = [], caIds = [] } = basis ?? {};
  return Buffer.concat([
    ...fingerprints.map((hex) => entry(hex.length === 40 ? SHA1 : SHA256, hex)),
    ...caIds.map((hex) => entry(CA, hex)),
  ]);
}

/** The basis again; undefined when it is empty. Throws INVALID_ARGUMENT when it is none of this service. */
export function unpackBasis(bytes: Uint8Array): Basis | undefined {
  if (bytes.length === 0) return undefined;
  const fingerprints: string[] = [];
  const caIds: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const kind = bytes[at] ?? 0;
    const end = at + 1 + (SIZES[kind] ?? Number.POSITIVE_INFINITY);
    if (end > bytes.length) throw new RpcError(status.INVALID_ARGUMENT, 'basis: not one of this service');
    (kind === CA ? caIds : fingerprints).push(Buffer.from(bytes.subarray(at + 1, end)).toString('hex'));
    at = end;
  }
  return { fingerprints, caIds };
}

function entry(kind: number, hex: string): Buffer {
  return Buffer.concat([Buffer.of(kind), Buffer.from(hex, 'hex')]);
}
