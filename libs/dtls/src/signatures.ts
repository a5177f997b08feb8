import { constants, type KeyObject, sign, verify } from 'node:crypto';

type Scheme = {
  /** SignatureAndHashAlgorithm, or SignatureScheme for PSS (RFC 5246 7.4.1.4.1, RFC 8446 4.2.3). */
  readonly code: number;
  readonly keyType: 'ec' | 'rsa';
  readonly hash: 'sha256' | 'sha384' | 'sha512';
  readonly isPss?: true;
};

/** What is signed with and what is accepted, in the order in which it is preferred. No SHA-1. */
const SCHEMES: readonly Scheme[] = [
  { code: 0x0403, keyType: 'ec', hash: 'sha256' },
  { code: 0x0503, keyType: 'ec', hash: 'sha384' },
  { code: 0x0804, keyType: 'rsa', hash: 'sha256', isPss: true },
  { code: 0x0401, keyType: 'rsa', hash: 'sha256' },
  { code: 0x0501, keyType: 'rsa', hash: 'sha384' },
];

/** The codes that a CertificateRequest names. */
export const SCHEME_CODES: readonly number[] = SCHEMES.map(({ code }) => code);

/** An RSA key beyond this costs a server milliseconds for each signature that anybody sends. */
const MAX_RSA_BITS = 4096;
const MIN_RSA_BITS = 2048;

/** Curves that take part in signatures: those of RFC 8422 5.1.1 that devices use. */
const CURVES: readonly (string | undefined)[] = ['prime256v1', 'secp384r1'];

/** Whether a key may sign here: ECDSA on P-256 or P-384, RSA from 2048 to 4096 bits. */
export function isFitKey({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  if (asymmetricKeyType === 'ec') return CURVES.includes(asymmetricKeyDetails?.namedCurve);
  const bits = asymmetricKeyDetails?.modulusLength ?? 0;
  return asymmetricKeyType === 'rsa' && bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS;
}

/** The scheme to sign with for a client that understands these; undefined when there is none. */
export function schemeFor(key: KeyObject, understood: readonly number[]): number | undefined {
  return SCHEMES.find(({ code, keyType }) => keyType === key.asymmetricKeyType && understood.includes(code))?.code;
}

/** Signs. Throws a RangeError on a scheme that is not for this key. */
export function signWith(code: number, key: KeyObject, data: Buffer): Buffer {
  const scheme = schemeOf(code, key);
  if (scheme === undefined) throw new RangeError(`not a scheme for this key: ${code}`);
  return sign(scheme.hash, data, options(scheme, key));
}

/** Whether the signature is the key's, by a scheme that is accepted. */
export function isSignedBy(code: number, key: KeyObject, data: Buffer, signature: Buffer): boolean {
  const scheme = schemeOf(code, key);
  if (scheme === undefined || !isFitKey(key)) return false;
  try {
    return verify(scheme.hash, data, options(scheme, key), signature);
  } catch {
    return false;
  }
}

function schemeOf(code: number, key: KeyObject): Scheme | undefined {
  return SCHEMES.find((scheme) => scheme.code === code && scheme.keyType === key.asymmetricKeyType);
}

function options({ isPss }: Scheme, key: KeyObject) {
  if (isPss === undefined) return { key };
  // RFC 8446 4.2.3: the salt is as long as the digest.
  return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
}
