import { assertNever } from '@latchkey/kernel';
import type { DeviceRecord } from './device.ts';
import { digestMatcher, isFresh, secretMatcher } from './digest.ts';
import type { DigestProof, Proof } from './proof.ts';
import { finishedMatcher } from './psk.ts';
import { standingAt } from './retirement.ts';
import { deny, type Verdict, type VerifyContext } from './verdict.ts';
import { verifyCertificate, verifyFingerprint } from './verify-certificate.ts';
import { verifySecret } from './verify-secret.ts';
import { verifyToken } from './verify-token.ts';

/**
 * Judges one proof of one device; undefined: there is no such device. Primary first, then secondary. Changes nothing:
 * what a success leaves and a binding are for the caller to write before it lets the device in.
 */
export function verify(device: DeviceRecord | undefined, proof: Proof, context: VerifyContext): Verdict {
  const standing = device && standingAt(device, context.nowMs);
  switch (proof.kind) {
    case 'DIGEST':
      return verifyDigest(standing, proof, context);
    case 'SECRET':
      return verifySecret(standing, secretMatcher(proof.secret.reveal()), context);
    case 'CERTIFICATE':
      return verifyCertificate(standing, proof, context);
    case 'FINGERPRINT':
      return verifyFingerprint(standing, proof, context);
    case 'PSK':
      return verifySecret(standing, finishedMatcher(proof), context);
    case 'TOKEN':
      return verifyToken(standing, proof, context);
    default:
      return assertNever(proof);
  }
}

/** The time is checked before the password, so that a captured password of an old hour tells nothing of the secret. */
function verifyDigest(device: DeviceRecord | undefined, proof: DigestProof, context: VerifyContext): Verdict {
  if (!isFresh(proof, context.nowMs, context.settings.timestampWindow)) {
    return deny(device === undefined ? 'UNKNOWN_DEVICE' : 'STALE_TIMESTAMP');
  }
  return verifySecret(device, digestMatcher(proof), context);
}
