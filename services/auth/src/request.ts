import { createHash, timingSafeEqual } from 'node:crypto';
import { clone, type DescMessage, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import {
  type DeviceRecord,
  type DeviceState,
  isRefusal,
  type Refusal,
  type RefusalReason,
  type Slot,
  type TrustSet,
} from '@latchkey/credential';
import { type CredentialId, type DeviceId, type Revision, type Secret, toRevision } from '@latchkey/kernel';
import { RpcError } from '@latchkey/rpc';
import { readDeviceId } from './question.ts';
import { superseded, type WriteRequest, type Written } from './writes.ts';

/** Fields that every writing request has. */
export type WritingRequest = {
  readonly deviceId: string;
  readonly requestId: string;
  readonly expectedRevision?: bigint | undefined;
};

/** What a writing request says besides its plan. */
export function writeHead<D extends DescMessage>(
  desc: D,
  request: MessageShape<D> & WritingRequest,
  operator: string,
): Omit<WriteRequest, 'plan'> {
  return {
    deviceId: readDeviceId(request.deviceId),
    operator,
    requestId: request.requestId,
    parameters: parametersOf(desc, request),
    expectedRevision: readRevision(request.expectedRevision),
  };
}

/** The revision that a request expects. Throws INVALID_ARGUMENT. */
export function readRevision(revision: bigint | undefined): Revision | undefined {
  if (revision === undefined) return undefined;
  if (revision > BigInt(Number.MAX_SAFE_INTEGER))
    throw new RpcError(status.INVALID_ARGUMENT, 'expected_revision: no record has one so large');
  return toRevision(revision);
}

/**
 * A digest of the parameters, to tell a repeated request from another one. A given secret is left out: the digest is
 * kept beside the record, and a short secret could be guessed from it; `sameSecret` compares the secret itself.
 */
export function parametersOf<D extends DescMessage>(
  desc: D,
  request: MessageShape<D> & Pick<WritingRequest, 'requestId'>,
): string {
  const copy = clone(desc, request);
  const fields = copy as unknown as { requestId: string } & Record<string, unknown>;
  fields.requestId = '';
  for (const field of Object.values(fields)) {
    if (isGivenSecret(field)) field.value.value = '-'.repeat(8);
  }
  return createHash('sha256').update(desc.typeName).update(toBinary(desc, copy)).digest('base64url');
}

function isGivenSecret(field: unknown): field is { case: 'secret'; value: { value: string } } {
  const secret = field as { case?: unknown; value?: { value?: unknown } } | null | undefined;
  return secret?.case === 'secret' && typeof secret.value?.value === 'string';
}

/** What a change made of a device or a trust set. Throws an RpcError when it was refused. */
export function accepted<T extends DeviceState | TrustSet>(outcome: T | Refusal): T {
  if (!isRefusal(outcome)) return outcome;
  const [code, message] = REFUSALS[outcome.refused];
  throw new RpcError(code, message);
}

const REFUSALS: Readonly<Record<RefusalReason, readonly [status, string]>> = {
  WRONG_KIND: [status.FAILED_PRECONDITION, 'the device authenticates by the other kind of credential'],
  SECONDARY_CANNOT_ARM: [status.INVALID_ARGUMENT, 'trust_on_first_use: only for the primary slot'],
  SECONDARY_EMPTY: [status.FAILED_PRECONDITION, 'the secondary slot is empty: there is nothing to promote'],
  NOT_SET: [
    status.FAILED_PRECONDITION,
    'the slot waits for its first certificate: only a set credential retires later',
  ],
  OTHER_RETIRES: [
    status.FAILED_PRECONDITION,
    'the credential of the other slot retires already; reset that slot, or retire it at once, to end its retirement',
  ],
  NOT_ARMED: [status.FAILED_PRECONDITION, 'the primary slot does not wait for its first certificate'],
  SECRET_LENGTH: [status.INVALID_ARGUMENT, 'secret: 8 to 32 characters'],
  SECRET_CHARACTERS: [status.INVALID_ARGUMENT, 'secret: only A-Z a-z 0-9 _ and -'],
  SECRET_NOT_HEX: [status.INVALID_ARGUMENT, 'secret: this device takes an even number of hexadecimal characters'],
  FINGERPRINT_FORMAT: [status.INVALID_ARGUMENT, 'fingerprint: 40 (SHA-1) or 64 (SHA-256) hexadecimal characters'],
  TIMEOUT_RANGE: [status.INVALID_ARGUMENT, 'activation_timeout_s: 0 to 2147483647'],
  NOT_A_CA: [
    status.INVALID_ARGUMENT,
    'certificate: no CA for the certificates of clients (basic constraints, key usage, extended key usage)',
  ],
  CA_NOT_CURRENT: [status.FAILED_PRECONDITION, "the CA's certificate has expired, or is not valid yet"],
  CA_UNKNOWN: [status.NOT_FOUND, 'there is no such CA'],
  CA_KNOWN: [status.ALREADY_EXISTS, 'the CA is trusted already'],
  CA_TRUSTED: [status.FAILED_PRECONDITION, 'the CA is trusted; disable it first'],
  CA_DISABLED: [status.FAILED_PRECONDITION, 'the CA was disabled; register it anew'],
  TOO_MANY_CAS: [status.RESOURCE_EXHAUSTED, 'there are 100 CAs already; delete one that is not trusted'],
  NOT_SIGNED_BY_CA: [status.FAILED_PRECONDITION, 'verification_certificate: the CA did not sign it'],
  WRONG_VERIFY_CODE: [
    status.FAILED_PRECONDITION,
    'verification_certificate: its common name is not the verify code of this CA',
  ],
  VERIFICATION_NOT_CURRENT: [
    status.FAILED_PRECONDITION,
    'verification_certificate: it has expired, or is not valid yet',
  ],
  NOT_DISABLED: [status.NOT_FOUND, 'no certificate is disabled by this fingerprint'],
  TOO_MANY_DISABLED: [
    status.RESOURCE_EXHAUSTED,
    'fingerprint: 1000 certificates are disabled already whose fingerprints begin with the same two digits',
  ],
  CA_UNVERIFIED: [status.FAILED_PRECONDITION, "possession of the CA's key is not proven yet; verify it first"],
  NOT_A_CRL: [
    status.INVALID_ARGUMENT,
    'crl: not one CRL in DER or PEM, or one that does not say when the next one is due',
  ],
  CRL_PARTIAL: [
    status.INVALID_ARGUMENT,
    "crl: only a complete one of the CA's own certificates; this one has a critical extension",
  ],
  CRL_ALGORITHM: [
    status.INVALID_ARGUMENT,
    'crl: signed otherwise than by RSA (PKCS #1) or ECDSA with SHA-256, SHA-384 or SHA-512, or by EdDSA',
  ],
  CRL_NOT_SIGNED_BY_CA: [
    status.FAILED_PRECONDITION,
    'crl: it names another issuer, the CA did not sign it, or the key usage of the CA forbids that',
  ],
  CRL_NOT_CURRENT: [status.FAILED_PRECONDITION, 'crl: it has expired, or is not valid yet'],
  CRL_OLDER: [status.FAILED_PRECONDITION, 'crl: it is not newer, by number and date, than the one that is kept'],
  TOO_MANY_REVOKED: [status.RESOURCE_EXHAUSTED, 'crl: no more than 100000 revoked certificates fit in'],
  NO_CRL: [status.NOT_FOUND, 'the CA has no CRL'],
};

/** The record that must be there. Throws NOT_FOUND. */
export function existing(record: DeviceRecord | undefined, deviceId: DeviceId | string): DeviceRecord {
  if (record === undefined) throw new RpcError(status.NOT_FOUND, `there is no device ${deviceId}`);
  return record;
}

/** The slot that a write made, as it stands. Throws ABORTED when a repeated request's credential was replaced since. */
export function madeSlot(written: Written, slot: Slot, made: CredentialId | undefined) {
  const { record, replay } = written;
  const credentials = record?.credentials;
  const held = slot === 'PRIMARY' ? credentials?.primary : credentials?.secondary;
  if (record === undefined || held === undefined) throw superseded();
  const wanted = replay === undefined ? made : replay.credentialId;
  if ((held.state === 'SET' ? held.credentialId : undefined) !== wanted) throw superseded();
  return { record, held };
}

/** Refuses a repeated request that gives another secret than the first one did. */
export function sameSecret(given: string | undefined, stands: Secret): void {
  if (given === undefined) return;
  const [a, b] = [given, stands.reveal()].map((text) => createHash('sha256').update(text).digest());
  if (a !== undefined && b !== undefined && timingSafeEqual(a, b)) return;
  throw new RpcError(status.INVALID_ARGUMENT, 'request_id: it was used with other parameters');
}
