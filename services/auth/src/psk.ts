import type { PskDerivation, PskProof } from '@latchkey/credential';
import { type DeviceId, parseDeviceId } from '@latchkey/kernel';
import { type PskDerivation as DerivationMessage, type PskProof as ProofMessage, PskPrf } from '@latchkey/protocol/v1';

/** How LwM2M modules write the identity of a device that has a mobile radio (RFC 8141, 3GPP TS 23.003). */
const IMEI_PREFIX = 'urn:imei:';

/**
 * Whom a DTLS identity may name, the likeliest first; none: it is no id. The vendor's devices say their node id, and are
 * registered as `{product}_{node}`: `products` are those to try.
 */
export function namedBy(identity: Uint8Array, products: readonly string[]): readonly DeviceId[] {
  // One character a byte: what is not ASCII becomes no character of an id.
  const text = Buffer.from(identity).toString('latin1');
  const name = text.startsWith(IMEI_PREFIX) ? text.slice(IMEI_PREFIX.length) : text;
  const ids = [name, ...products.map((product) => `${product}_${name}`)].map(parseDeviceId);
  return ids.filter((id) => id !== undefined);
}

/** The inputs of a derivation, of a message that was validated. */
export function derivationOf({ prf, seed, ecdheSecret }: DerivationMessage): PskDerivation {
  const bytes = seed.value ?? new Uint8Array();
  return {
    hash: prf === PskPrf.SHA384 ? 'sha384' : 'sha256',
    seed: { kind: seed.case === 'sessionHash' ? 'SESSION_HASH' : 'RANDOMS', bytes },
    ecdheSecret,
  };
}

/** The finish of a handshake, of a message that was validated. */
export function pskProofOf({ derivation, transcriptHash, verifyData }: ProofMessage): PskProof | undefined {
  if (derivation === undefined) return undefined;
  return { kind: 'PSK', derivation: derivationOf(derivation), transcriptHash, verifyData };
}
