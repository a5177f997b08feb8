import { fromBinary } from '@bufbuild/protobuf';
import {
  type AuthenticateRequest,
  AuthenticateRequestSchema,
  type AuthenticateStreamRequest,
  type AuthenticateStreamRequest_Question,
  AuthenticateStreamRequestSchema,
  type DigestProof,
  type Proof,
} from '@latchkey/protocol/v1';

// The messages that devices are waiting for, read by hand: the generated code takes as long as the decision
// (`npm run bench -- primitives`). Only what gateways send is known here: fields in their order, each once, texts in ASCII,
// proofs that are short texts. Whatever else comes is left to the generated code, so that there is one truth on what a
// message says.

/** A field's number and wire type, as one byte (https://protobuf.dev/programming-guides/encoding/#structure). */
const TAG = {
  question: 0x0a,
  number: 0x08,
  attempt: 0x12,
  deviceId: 0x0a,
  protocol: 0x10,
  proof: 0x1a,
  source: 0x22,
  digest: 0x0a,
  secret: 0x12,
  token: 0x32,
  signType: 0x08,
  timestamp: 0x12,
  password: 0x1a,
  text: 0x0a,
} as const;

/** Thrown at what is not known here; without a stack, as it tells nothing. */
const UNKNOWN = Symbol('unknown');

type Cursor = { readonly bytes: Buffer; at: number; end: number };

/** One attempt. Throws as `fromBinary` does. */
export function readAttempt(bytes: Buffer): AuthenticateRequest {
  return knownAttempt(bytes) ?? fromBinary(AuthenticateRequestSchema, bytes);
}

/** A batch of attempts. Throws as `fromBinary` does. */
export function readAttempts(bytes: Buffer): AuthenticateStreamRequest {
  return knownAttempts(bytes) ?? fromBinary(AuthenticateStreamRequestSchema, bytes);
}

/** What is read by hand of one attempt; undefined: something else than gateways send. */
export const knownAttempt = (bytes: Buffer) => known(bytes, takeAttempt);

/** What is read by hand of a batch; undefined: something else than gateways send. */
export const knownAttempts = (bytes: Buffer) => known(bytes, takeQuestions);

function known<T>(bytes: Buffer, take: (cursor: Cursor) => T): T | undefined {
  const cursor = { bytes, at: 0, end: bytes.length };
  try {
    const taken = take(cursor);
    return cursor.at === cursor.end ? taken : undefined;
  } catch (error) {
    if (error === UNKNOWN) return undefined;
    throw error;
  }
}

function takeQuestions(cursor: Cursor): AuthenticateStreamRequest {
  const questions: AuthenticateStreamRequest_Question[] = [];
  while (cursor.at < cursor.end) {
    if (takeByte(cursor) !== TAG.question) throw UNKNOWN;
    questions.push(within(cursor, takeQuestion));
  }
  return { $typeName: 'latchkey.v1.AuthenticateStreamRequest', questions };
}

function takeQuestion(cursor: Cursor): AuthenticateStreamRequest_Question {
  const number = nextIs(cursor, TAG.number) ? takeVarint(cursor) : 0;
  if (!nextIs(cursor, TAG.attempt)) throw UNKNOWN;
  return { $typeName: 'latchkey.v1.AuthenticateStreamRequest.Question', number, attempt: within(cursor, takeAttempt) };
}

function takeAttempt(cursor: Cursor): AuthenticateRequest {
  const deviceId = nextIs(cursor, TAG.deviceId) ? takeText(cursor) : '';
  const protocol = nextIs(cursor, TAG.protocol) ? takeVarint(cursor) : 0;
  if (!nextIs(cursor, TAG.proof)) throw UNKNOWN;
  const proof = within(cursor, takeProof);
  const source = nextIs(cursor, TAG.source) ? takeText(cursor) : '';
  return {
    $typeName: 'latchkey.v1.AuthenticateRequest',
    deviceId,
    protocol: (protocol | 0) as AuthenticateRequest['protocol'],
    proof,
    source,
  };
}

function takeProof(cursor: Cursor): Proof {
  return { $typeName: 'latchkey.v1.Proof', kind: takeKind(cursor) };
}

function takeKind(cursor: Cursor): Proof['kind'] {
  switch (takeByte(cursor)) {
    case TAG.digest:
      return { case: 'digest', value: within(cursor, takeDigest) };
    case TAG.secret:
      return { case: 'secret', value: { $typeName: 'latchkey.v1.SecretProof', secret: within(cursor, takeOnlyText) } };
    case TAG.token:
      return { case: 'token', value: { $typeName: 'latchkey.v1.TokenProof', token: within(cursor, takeOnlyText) } };
    default:
      throw UNKNOWN;
  }
}

function takeDigest(cursor: Cursor): DigestProof {
  const signType = nextIs(cursor, TAG.signType) ? takeVarint(cursor) : 0;
  const timestamp = nextIs(cursor, TAG.timestamp) ? takeText(cursor) : '';
  const password = nextIs(cursor, TAG.password) ? takeText(cursor) : '';
  return { $typeName: 'latchkey.v1.DigestProof', signType, timestamp, password };
}

function takeOnlyText(cursor: Cursor): string {
  return nextIs(cursor, TAG.text) ? takeText(cursor) : '';
}

/** Reads a message inside a message, all of it. */
function within<T>(cursor: Cursor, take: (cursor: Cursor) => T): T {
  const length = takeVarint(cursor);
  const outer = cursor.end;
  cursor.end = cursor.at + length;
  if (cursor.end > outer) throw UNKNOWN;
  const taken = take(cursor);
  if (cursor.at !== cursor.end) throw UNKNOWN;
  cursor.end = outer;
  return taken;
}

function nextIs(cursor: Cursor, tag: number): boolean {
  if (cursor.at >= cursor.end || cursor.bytes[cursor.at] !== tag) return false;
  cursor.at += 1;
  return true;
}

function takeByte(cursor: Cursor): number {
  const byte = cursor.at < cursor.end ? cursor.bytes[cursor.at] : undefined;
  if (byte === undefined) throw UNKNOWN;
  cursor.at += 1;
  return byte;
}

/** A number of at most 32 bits. */
function takeVarint(cursor: Cursor): number {
  let value = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = takeByte(cursor);
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  const last = takeByte(cursor);
  if (last > 0x0f) throw UNKNOWN;
  return (value | (last << 28)) >>> 0;
}

function takeText(cursor: Cursor): string {
  const length = takeVarint(cursor);
  const { bytes, at } = cursor;
  const end = at + length;
  if (end > cursor.end) throw UNKNOWN;
  for (let index = at; index < end; index++) if ((bytes[index] ?? 0) >= 0x80) throw UNKNOWN;
  cursor.at = end;
  return bytes.toString('latin1', at, end);
}
