import { createHmac, timingSafeEqual } from 'node:crypto';
import type { SecretFormat } from './device.ts';
import type { PskDerivation, PskHash, PskProof } from './proof.ts';

/** RFC 5246 8.1. */
const MASTER_SECRET_BYTES = 48;
/** RFC 5246 7.4.9: what all suites of TLS 1.2 take unless they say otherwise. */
const VERIFY_DATA_BYTES = 12;

/** The pseudo-random function of TLS 1.2, P_hash over label and seed (RFC 5246 5). */
export function prf(
  hash: PskHash,
  secret: Uint8Array,
  input: { readonly label: string; readonly seed: Uint8Array },
  bytes: number,
): Buffer {
  const seed = Buffer.concat([Buffer.from(input.label, 'latin1'), input.seed]);
  const blocks: Buffer[] = [];
  let chain: Buffer = seed;
  for (let made = 0; made < bytes; made += chain.length) {
    chain = createHmac(hash, secret).update(chain).digest();
    blocks.push(createHmac(hash, secret).update(chain).update(seed).digest());
  }
  return Buffer.concat(blocks).subarray(0, bytes);
}

/** The 48 bytes that a DTLS session's keys come from, for a device whose secret is this text. */
export function masterSecret(secret: string, format: SecretFormat, derivation: PskDerivation): Buffer {
  const key = Buffer.from(secret, format === 'HEX' ? 'hex' : 'utf8');
  const { hash, seed, ecdheSecret } = derivation;
  // RFC 4279 2: without an exchange as many zeros as the key is long; RFC 5489 2: else what was exchanged.
  const other = ecdheSecret.length === 0 ? Buffer.alloc(key.length) : ecdheSecret;
  const premaster = Buffer.concat([lengthOf(other), other, lengthOf(key), key]);
  const label = seed.kind === 'SESSION_HASH' ? 'extended master secret' : 'master secret'; // RFC 7627 4
  return prf(hash, premaster, { label, seed: seed.bytes }, MASTER_SECRET_BYTES);
}

/** A check of a client's Finished against one secret after the other (RFC 5246 7.4.9). */
export function finishedMatcher(proof: PskProof): (secret: string, format: SecretFormat) => boolean {
  const { derivation, transcriptHash, verifyData } = proof;
  const wellFormed = verifyData.length === VERIFY_DATA_BYTES;
  const shown = wellFormed ? verifyData : new Uint8Array(VERIFY_DATA_BYTES);
  return (secret, format) => {
    const master = masterSecret(secret, format, derivation);
    const expected = prf(
      derivation.hash,
      master,
      { label: 'client finished', seed: transcriptHash },
      VERIFY_DATA_BYTES,
    );
    return timingSafeEqual(shown, expected) && wellFormed;
  };
}

function lengthOf({ length }: Uint8Array): Buffer {
  return Buffer.from([length >> 8, length & 0xff]);
}
