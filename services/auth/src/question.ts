import { status } from '@grpc/grpc-js';
import type { Proof } from '@latchkey/credential';
import { type DeviceId, parseDeviceId, Secret } from '@latchkey/kernel';
import {
  type AuthenticateRequest,
  AuthenticateRequestSchema,
  type MintTokenRequest,
  MintTokenRequestSchema,
  type Proof as ProofMessage,
  PskProofSchema,
} from '@latchkey/protocol/v1';
import { RpcError, validate } from '@latchkey/rpc';
import type { Question } from '@latchkey/verifier';
import { protocolOf } from './convert.ts';
import { pskProofOf } from './psk.ts';

/** Limits of authentication.proto, held here by hand too: protovalidate takes longer than the whole decision. */
const MAX_SOURCE_CHARS = 64;
const MAX_TEXT_CHARS = 256;
const MAX_CHAIN = 8;
const MAX_CERTIFICATE_BYTES = 16_384;
const TIMESTAMP = /^[0-9]{10}$/;
const FINGERPRINT = /^(?:[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$/;

/** Reads an attempt. Throws INVALID_ARGUMENT that names the field. */
export function readQuestion(request: AuthenticateRequest): Question {
  const deviceId = parseDeviceId(request.deviceId);
  const protocol = protocolOf(request.protocol);
  const proof = readProof(request.proof);
  if (deviceId === undefined || protocol === undefined || proof === undefined || !isSource(request.source)) {
    validate(AuthenticateRequestSchema, request);
    throw new RpcError(status.INVALID_ARGUMENT, 'the attempt cannot be read');
  }
  return { deviceId, protocol, proof, source: request.source };
}

/** Reads an attempt that shall get a token. Throws INVALID_ARGUMENT that names the field. */
export function readMinting(request: MintTokenRequest): Question {
  const kind = request.attempt?.proof?.kind.case;
  if (request.attempt === undefined || (kind !== 'digest' && kind !== 'secret')) {
    validate(MintTokenRequestSchema, request);
    throw new RpcError(status.INVALID_ARGUMENT, 'attempt.proof: a token is made only for a digest or a secret');
  }
  return readQuestion(request.attempt);
}

/** The device that a request names. Throws INVALID_ARGUMENT. */
export function readDeviceId(text: string): DeviceId {
  const deviceId = parseDeviceId(text);
  if (deviceId === undefined) throw new RpcError(status.INVALID_ARGUMENT, 'device_id: 1 to 128 of A-Z a-z 0-9 _ and -');
  return deviceId;
}

/** Counts as protovalidate does: a character beyond U+FFFF is one, and two in a string's length. */
function isWithin(text: string, maxChars: number): boolean {
  if (text.length <= maxChars) return true;
  return text.length <= 2 * maxChars && [...text].length <= maxChars;
}

function isSource(source: string): boolean {
  return isWithin(source, MAX_SOURCE_CHARS);
}

function readProof(message: ProofMessage | undefined): Proof | undefined {
  const kind = message?.kind;
  switch (kind?.case) {
    case 'digest': {
      const { signType, timestamp, password } = kind.value;
      if (signType !== 0 && signType !== 1 && signType !== 2) return undefined;
      if (!TIMESTAMP.test(timestamp) || !isWithin(password, MAX_TEXT_CHARS)) return undefined;
      return { kind: 'DIGEST', signType, timestamp, password };
    }
    case 'secret':
      if (!isWithin(kind.value.secret, MAX_TEXT_CHARS)) return undefined;
      return { kind: 'SECRET', secret: new Secret(kind.value.secret) };
    case 'certificate': {
      const { chain } = kind.value;
      if (chain.length === 0 || chain.length > MAX_CHAIN || !chain.every(isCertificateSize)) return undefined;
      return { kind: 'CERTIFICATE', chain };
    }
    case 'fingerprint':
      if (!FINGERPRINT.test(kind.value.fingerprint)) return undefined;
      return { kind: 'FINGERPRINT', fingerprint: kind.value.fingerprint };
    case 'token':
      if (kind.value.token === '' || !isWithin(kind.value.token, MAX_TEXT_CHARS)) return undefined;
      return { kind: 'TOKEN', token: new Secret(kind.value.token) };
    case 'psk':
      validate(PskProofSchema, kind.value); // a handshake costs so much that this is little
      return pskProofOf(kind.value);
    default:
      return undefined;
  }
}

function isCertificateSize({ length }: Uint8Array): boolean {
  return length >= 1 && length <= MAX_CERTIFICATE_BYTES;
}
