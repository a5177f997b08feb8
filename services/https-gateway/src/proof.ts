import type { MessageInitShape } from '@bufbuild/protobuf';
import { fieldsOf, parseJson } from '@latchkey/gateway-kit/upstream';
import { type DeviceId, parseDeviceId } from '@latchkey/kernel';
import type { ProofSchema } from '@latchkey/protocol/v1';

/** Characters of a token (IoTDA API iot_06_v5_7009). */
const MAX_TOKEN_CHARS = 256;

/** Bytes of a certificate: what CertificateProof takes. A chain is cut before a longer one. */
const MAX_CERTIFICATE_BYTES = 16_384;

/** Hex characters of HMAC-SHA256. */
const PASSWORD_CHARS = 64;

const TIMESTAMP = /^[0-9]{10}$/;

type Proof = NonNullable<MessageInitShape<typeof ProofSchema>>;

/** A login as the vendor has it. */
export type Login = { readonly deviceId: DeviceId; readonly proof: Proof };

/**
 * Reads the body of `POST /v5/device-auth` (IoTDA API iot_06_v5_7008): all four fields, of the right types and lengths;
 * others are not looked at. Undefined: it is none. Never throws.
 */
export function readLogin(body: Uint8Array): Login | undefined {
  const { device_id, sign_type, timestamp, password } = fieldsOf(parseJson(body)) ?? {};
  const deviceId = typeof device_id === 'string' ? parseDeviceId(device_id) : undefined;
  if (deviceId === undefined || (sign_type !== 0 && sign_type !== 1)) return undefined;
  if (typeof timestamp !== 'string' || !TIMESTAMP.test(timestamp)) return undefined;
  if (typeof password !== 'string' || password.length !== PASSWORD_CHARS) return undefined;
  return { deviceId, proof: { kind: { case: 'digest', value: { signType: sign_type, timestamp, password } } } };
}

/**
 * What a report is decided on: the header `access_token`, else the certificate of the connection; undefined: neither is
 * there, or the header cannot be a token. `chain` is DER, leaf first; empty: no certificate.
 */
export function readReportProof(header: string | readonly string[] | undefined, chain: readonly Uint8Array[]) {
  if (header === undefined) return certificateProof(chain);
  if (typeof header !== 'string' || header === '' || header.length > MAX_TOKEN_CHARS) return undefined;
  return { kind: { case: 'token', value: { token: header } } } satisfies Proof;
}

function certificateProof(chain: readonly Uint8Array[]) {
  const firstOversize = chain.findIndex(({ length }) => length > MAX_CERTIFICATE_BYTES);
  const usable = firstOversize === -1 ? chain : chain.slice(0, firstOversize);
  if (usable.length === 0) return undefined;
  const value = { chain: usable.map((certificate) => Uint8Array.from(certificate)) };
  return { kind: { case: 'certificate', value } } satisfies Proof;
}
