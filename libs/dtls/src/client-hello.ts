import { DecodeError, Reader, uint16s } from './bytes.ts';
import { EXTENSION, RANDOM_BYTES, RENEGOTIATION_SCSV } from './codes.ts';

/** What a client offers (RFC 6347 4.2.1, RFC 5246 7.4.1.2). Absent extensions are undefined or false. */
export type ClientHello = {
  readonly version: number;
  readonly random: Buffer;
  readonly cookie: Buffer;
  /** All but the cookie: what must be the same in the hello that brings the cookie back. */
  readonly covered: Buffer;
  readonly suites: readonly number[];
  readonly groups: readonly number[] | undefined;
  readonly signatureSchemes: readonly number[] | undefined;
  /** The id that the client wants to be addressed by; it may be empty (RFC 9146 3). */
  readonly connectionId: Buffer | undefined;
  /** The code of RFC 6066 4. */
  readonly maxFragmentLength: number | undefined;
  readonly hasPointFormats: boolean;
  readonly hasEncryptThenMac: boolean;
  readonly hasExtendedMasterSecret: boolean;
  readonly hasSecureRenegotiation: boolean;
};

/** A hello with more is no device's; a bound for the work on one that nobody vouches for. */
const MAX_EXTENSIONS = 32;

const UNCOMPRESSED = 0;
const NO_COMPRESSION = 0;

/** Reads the body of a ClientHello. Throws a DecodeError on anything malformed. */
export function readClientHello(body: Buffer): ClientHello {
  const reader = new Reader(body);
  const version = reader.number(2);
  const random = reader.bytes(RANDOM_BYTES);
  const sessionId = reader.vector(1);
  if (sessionId.length > 32) throw new DecodeError('the session id is longer than 32 bytes');
  const beforeCookie = body.length - reader.left;
  const cookie = reader.vector(1);
  const afterCookie = body.length - reader.left;
  const suites = uint16s(reader.vector(2));
  if (suites.length === 0) throw new DecodeError('no cipher suites');
  // RFC 5246 7.4.1.2: the list must hold "null".
  if (!reader.vector(1).includes(NO_COMPRESSION)) throw new DecodeError('no null compression');
  const extensions = readExtensions(reader);
  const covered = Buffer.concat([body.subarray(0, beforeCookie), body.subarray(afterCookie)]);
  return { version, random, cookie, covered, suites, ...understood(extensions, suites) };
}

/** The extensions by type: at most one of each (RFC 5246 7.4.1.4). */
function readExtensions(reader: Reader): ReadonlyMap<number, Buffer> {
  const extensions = new Map<number, Buffer>();
  if (reader.left === 0) return extensions;
  const list = new Reader(reader.vector(2));
  reader.end();
  while (list.left > 0) {
    const type = list.number(2);
    if (extensions.has(type)) throw new DecodeError('an extension comes twice');
    if (extensions.size === MAX_EXTENSIONS) throw new DecodeError('too many extensions');
    extensions.set(type, list.vector(2));
  }
  return extensions;
}

type Understood = Omit<ClientHello, 'version' | 'random' | 'cookie' | 'covered' | 'suites'>;

function understood(extensions: ReadonlyMap<number, Buffer>, suites: readonly number[]): Understood {
  const groups = extensions.get(EXTENSION.SUPPORTED_GROUPS);
  const schemes = extensions.get(EXTENSION.SIGNATURE_ALGORITHMS);
  const connectionId = extensions.get(EXTENSION.CONNECTION_ID);
  const maxFragmentLength = extensions.get(EXTENSION.MAX_FRAGMENT_LENGTH);
  const pointFormats = extensions.get(EXTENSION.POINT_FORMATS);
  // RFC 8422 5.1.2: the list must hold "uncompressed".
  if (pointFormats !== undefined && !only(pointFormats, 1).includes(UNCOMPRESSED)) {
    throw new DecodeError('no uncompressed points');
  }
  const renegotiation = extensions.get(EXTENSION.RENEGOTIATION_INFO);
  // RFC 5746 3.6: in a first handshake it must be empty.
  if (renegotiation !== undefined && only(renegotiation, 1).length > 0) throw new DecodeError('a renegotiation');
  return {
    groups: groups && uint16s(only(groups, 2)),
    signatureSchemes: schemes && uint16s(only(schemes, 2)),
    connectionId: connectionId && only(connectionId, 1),
    maxFragmentLength: maxFragmentLength && new Reader(maxFragmentLength).number(1),
    hasPointFormats: pointFormats !== undefined,
    hasEncryptThenMac: extensions.has(EXTENSION.ENCRYPT_THEN_MAC),
    hasExtendedMasterSecret: extensions.has(EXTENSION.EXTENDED_MASTER_SECRET),
    hasSecureRenegotiation: renegotiation !== undefined || suites.includes(RENEGOTIATION_SCSV),
  };
}

/** The one vector that an extension consists of. */
function only(extension: Buffer, lengthSize: 1 | 2): Buffer {
  const reader = new Reader(extension);
  const content = reader.vector(lengthSize);
  reader.end();
  return content;
}
