import { hash, X509Certificate } from 'node:crypto';
import { extensionsOf, KEY_USAGE, keyUsageOf, pathLengthIn } from './der.ts';

/** Extended key usage TLS client authentication, RFC 5280 section 4.2.1.12. */
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
/** The DER of the object identifier of that extension. */
const EXTENDED_KEY_USAGE = Buffer.from('0603551d25', 'hex');
/** Extension basic constraints, RFC 5280 section 4.2.1.9. */
const BASIC_CONSTRAINTS = '551d13';
/** Extensions of an issuer that are heeded: key usage, basic constraints, extended key usage. */
const HEEDED: ReadonlySet<string> = new Set(['551d0f', BASIC_CONSTRAINTS, '551d25']);
/** No path length. */
const MANY = Number.POSITIVE_INFINITY;
/** Longest DER certificate that is parsed: 16 KiB holds any real one, RSA 16384 included. */
const MAX_CERTIFICATE_BYTES = 16_384;
/** RFC 7468 section 5.1. */
const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
const FINGERPRINT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/** Hashes of a DER certificate in lowercase hex: 40 and 64 characters. */
export type Fingerprints = { readonly sha1: string; readonly sha256: string };

/** Both fingerprints of a DER certificate; the bytes are not looked into. */
export function fingerprintsOf(der: Uint8Array): Fingerprints {
  return { sha1: hash('sha1', der, 'hex'), sha256: hash('sha256', der, 'hex') };
}

/** The text as a fingerprint in lowercase; undefined unless it is 40 (SHA-1) or 64 (SHA-256) hex characters. */
export function parseFingerprint(text: string): string | undefined {
  const lowercase = /^[0-9A-Fa-f]*$/.test(text) ? text.toLowerCase() : '';
  return FINGERPRINT.test(lowercase) ? lowercase : undefined;
}

/** The certificate that the bytes are the DER encoding of, and nothing else; undefined when they are none. */
export function parseCertificate(der: Uint8Array): X509Certificate | undefined {
  if (der.length > MAX_CERTIFICATE_BYTES) return undefined;
  try {
    const certificate = new X509Certificate(der);
    // The parser also takes PEM and bytes after the end: one certificate would then have many fingerprints.
    return certificate.raw.equals(der) ? certificate : undefined;
  } catch {
    return undefined;
  }
}

/** The one certificate of a PEM text; undefined when it holds another number of them, or one that cannot be read. */
export function parsePem(text: string): X509Certificate | undefined {
  const [block, ...more] = text.match(PEM_BLOCK) ?? [];
  if (block === undefined || more.length > 0) return undefined;
  return parseCertificate(Buffer.from(block.replaceAll(/-----[A-Z ]+-----/g, ''), 'base64'));
}

/** Is now within the certificate's validity, both ends included (RFC 5280 section 4.1.2.5)? */
export function isCurrent(certificate: X509Certificate, nowMs: number): boolean {
  return certificate.validFromDate.getTime() <= nowMs && nowMs <= certificate.validToDate.getTime();
}

/**
 * May its key authenticate a TLS client: by the plain key usage, if there is one, it signs or agrees on keys (as OpenSSL asks of
 * clients), and by the extended one as well?
 */
export function isForClients(certificate: X509Certificate): boolean {
  const usage = keyUsageOf(certificate.raw);
  const mayProve = usage === undefined || (usage & (KEY_USAGE.DIGITAL_SIGNATURE | KEY_USAGE.KEY_AGREEMENT)) !== 0;
  return mayProve && allowsClientUse(certificate);
}

/**
 * Does the extended key usage allow client authentication: there is none, or it names that? As in OpenSSL,
 * anyExtendedKeyUsage is not enough.
 */
export function allowsClientUse(certificate: X509Certificate): boolean {
  // The types say string[]; it is undefined without the extension, and as well with one that cannot be read or comes
  // twice: then its identifier still stands in the DER.
  const usages: readonly string[] | undefined = certificate.keyUsage;
  return usages === undefined ? !certificate.raw.includes(EXTENDED_KEY_USAGE) : usages.includes(CLIENT_AUTH);
}

/**
 * How many CAs may stand between this one and a device's certificate; undefined: it may not issue certificates of clients.
 * A CA by basic constraints and key usage may, unless it carries a critical extension that is not heeded here, such as name
 * constraints (RFC 5280 section 4.2 has it refused).
 */
export function allowedBelow(certificate: X509Certificate): number | undefined {
  if (!certificate.ca || !allowsClientUse(certificate)) return undefined;
  const extensions = extensionsOf(certificate.raw);
  if (extensions === undefined || extensions.some(({ oid, critical }) => critical && !HEEDED.has(oid)))
    return undefined;
  const constraints = extensions.find(({ oid }) => oid === BASIC_CONSTRAINTS);
  return (constraints && pathLengthIn(constraints.value)) ?? MANY;
}

/** A certificate that may have issued others of a chain, and how many CAs may stand below it at most. */
type Issuer = { readonly caId: string; readonly certificate: X509Certificate; readonly most: number };

/**
 * The id of a trusted CA that the leaf chains to; undefined: of none. Every issuer must be a CA (basic constraints with
 * path length, and key usage), be current, allow client use, be named as the issuer and have made the signature. The
 * intermediates may come in any order.
 */
export function trustedCaOf(chain: {
  readonly leaf: X509Certificate;
  readonly intermediates: readonly X509Certificate[];
  readonly trustedCas: ReadonlyMap<string, X509Certificate>;
  readonly nowMs: number;
}): string | undefined {
  const issuers: Issuer[] = [...chain.trustedCas].map(([caId, certificate]) => ({ caId, certificate, most: MANY }));
  const pending = new Set(chain.intermediates);
  // From the trusted down: a key that the device brought verifies nothing before a trusted one has vouched for it, and
  // each certificate joins the issuers once, so that loops end and the work is at most issuers times certificates.
  for (const { caId, certificate, most } of issuers) {
    const issued = [chain.leaf, ...pending].filter((one) => isIssuedBy(one, certificate));
    const allowed = issued.length > 0 && isCurrent(certificate, chain.nowMs) ? allowedBelow(certificate) : undefined;
    if (allowed === undefined) continue;
    if (issued.includes(chain.leaf)) return caId;
    const below = Math.min(allowed, most);
    for (const candidate of below > 0 ? issued : []) {
      pending.delete(candidate);
      issuers.push({ caId, certificate: candidate, most: below - 1 });
    }
  }
  return undefined;
}

/** Does it name this issuer, and is it signed by the issuer's key? */
export function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    // A key or an algorithm that this OpenSSL does not know verifies nothing.
    return false;
  }
}
