import type { MessageInitShape } from '@bufbuild/protobuf';
import type { DeviceId } from '@latchkey/kernel';
import type { ProofSchema } from '@latchkey/protocol/v1';

/** Certificates passed on: what CertificateProof takes. A longer chain is cut, the leaf stays. */
const MAX_CHAIN = 8;

/** Bytes of a certificate: what CertificateProof takes. */
const MAX_CERTIFICATE_BYTES = 16_384;

/** Bytes of a password: what DigestProof takes; a right one has 64. */
const MAX_PASSWORD_BYTES = 256;

/**
 * `{device_id}_0_{sign}_{YYYYMMDDHH}` (IoTDA API iot_06_v5_3009). The device id may hold `_` itself, so the greedy first
 * group splits from the right. The hour is not checked here: the C SDK sends 24.
 */
const CLIENT_ID = /^([A-Za-z0-9_-]{1,128})_0_([012])_([0-9]{10})$/;

/** What a device presented in CONNECT and in the TLS handshake before it. */
export type Presented = {
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  /** DER, leaf first; empty: no client certificate. */
  readonly chain: readonly Uint8Array[];
};

/** A proof to ask about, or why there is none: the client id is malformed, or the credentials cannot be right. */
export type Reading =
  | {
      readonly outcome: 'PROOF';
      readonly deviceId: DeviceId;
      readonly proof: MessageInitShape<typeof ProofSchema>;
    }
  | { readonly outcome: 'REFUSED'; readonly why: 'CLIENT_ID' | 'CREDENTIALS' };

/** Reads what was presented. Never throws. */
export function readProof({ clientId, username, password, chain }: Presented): Reading {
  const [, deviceId, sign, timestamp] = CLIENT_ID.exec(clientId) ?? [];
  if (deviceId === undefined || sign === undefined || timestamp === undefined) return refused('CLIENT_ID');
  if (username !== deviceId) return refused('CREDENTIALS');
  // The Go SDK sends a password beside its certificate: the certificate alone counts.
  if (chain.length > 0) return certificateProof(deviceId, chain);
  if (password === undefined || password.length === 0 || password.length > MAX_PASSWORD_BYTES) {
    return refused('CREDENTIALS');
  }
  const value = { signType: Number(sign), timestamp, password: Buffer.from(password).toString('utf8') };
  return proven(deviceId, { kind: { case: 'digest', value } });
}

function certificateProof(deviceId: string, chain: readonly Uint8Array[]): Reading {
  const firstOversize = chain.findIndex(({ length }) => length === 0 || length > MAX_CERTIFICATE_BYTES);
  const usable = chain.slice(0, firstOversize === -1 ? MAX_CHAIN : Math.min(firstOversize, MAX_CHAIN));
  if (usable.length === 0) return refused('CREDENTIALS');
  const value = { chain: usable.map((certificate) => Uint8Array.from(certificate)) };
  return proven(deviceId, { kind: { case: 'certificate', value } });
}

function proven(deviceId: string, proof: MessageInitShape<typeof ProofSchema>): Reading {
  return { outcome: 'PROOF', deviceId: deviceId as DeviceId, proof };
}

function refused(why: 'CLIENT_ID' | 'CREDENTIALS'): Reading {
  return { outcome: 'REFUSED', why };
}
