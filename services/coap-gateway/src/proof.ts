import type { MessageInitShape } from '@bufbuild/protobuf';
import type { CertificateProof, PskDerivation, PskProof } from '@latchkey/dtls';
import { type DeviceId, parseDeviceId } from '@latchkey/kernel';
import { type ProofSchema, type PskDerivationSchema, PskPrf } from '@latchkey/protocol/v1';

/** How LwM2M modules write the name of a device that has a mobile radio. */
const IMEI_PREFIX = 'urn:imei:';

/** Bytes of a certificate: what CertificateProof takes. */
const MAX_CERTIFICATE_BYTES = 16_384;

type Proof = MessageInitShape<typeof ProofSchema>;

/** The inputs of a derivation. A copy: the handshake forgets its own when it is over. */
export function derivationMessage(derivation: PskDerivation): MessageInitShape<typeof PskDerivationSchema> {
  const { identity, hash, seed, ecdheSecret } = derivation;
  const value = Uint8Array.from(seed.bytes);
  return {
    identity: Uint8Array.from(identity),
    prf: hash === 'sha384' ? PskPrf.SHA384 : PskPrf.SHA256,
    seed: seed.kind === 'RANDOMS' ? { case: 'randoms', value } : { case: 'sessionHash', value },
    ecdheSecret: Uint8Array.from(ecdheSecret),
  };
}

/** What the auth service judges of a handshake with a pre-shared key. */
export function pskProof({ derivation, transcriptHash, verifyData }: PskProof): Proof {
  const value = {
    derivation: derivationMessage(derivation),
    transcriptHash: Uint8Array.from(transcriptHash),
    verifyData: Uint8Array.from(verifyData),
  };
  return { kind: { case: 'psk', value } };
}

/** What it judges of one with a certificate; undefined: none of them can be looked at. */
export function certificateProof({ chain }: Pick<CertificateProof, 'chain'>): Proof | undefined {
  const oversize = chain.findIndex(({ length }) => length === 0 || length > MAX_CERTIFICATE_BYTES);
  const usable = oversize === -1 ? chain : chain.slice(0, oversize);
  if (usable.length === 0) return undefined;
  return { kind: { case: 'certificate', value: { chain: usable.map((each) => Uint8Array.from(each)) } } };
}

/** The device that an endpoint name stands for by itself: its device id, with or without `urn:imei:`. Undefined: none. */
export function deviceNamed(endpoint: string): DeviceId | undefined {
  return parseDeviceId(withoutPrefix(endpoint));
}

/**
 * Whether an endpoint name is the device's: its device id, or what it called itself in its DTLS handshake (its node id,
 * where the service knows its product). Anything else would register one device as another.
 */
export function isNameOf(endpoint: string, deviceId: DeviceId, identity: Buffer | undefined): boolean {
  const name = withoutPrefix(endpoint);
  return name === deviceId || (identity !== undefined && name === withoutPrefix(identity.toString('latin1')));
}

function withoutPrefix(name: string): string {
  return name.startsWith(IMEI_PREFIX) ? name.slice(IMEI_PREFIX.length) : name;
}
