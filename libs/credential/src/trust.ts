import type { X509Certificate } from 'node:crypto';
import { fingerprintsOf, parseCertificate, parseFingerprint } from './certificate.ts';
import { twinOf } from './der.ts';
import { issuanceOf } from './issuance.ts';
import type { Proof } from './proof.ts';

declare const brand: unique symbol;

/**
 * Names one set of what is trusted: `.cas`; `.` and the first two digits of the fingerprints that it holds; or `.i` and the
 * first two digits of the hashed names of the CAs whose CRLs it holds. It begins with a dot, which no device id has.
 */
export type TrustKey = string & { readonly [brand]: 'TrustKey' };

/** How a CA stands: possession of its key is not proven yet, it is trusted, or it was disabled. */
export type CaStatus = 'UNVERIFIED' | 'TRUSTED' | 'DISABLED';

/** A certificate authority that an operator registered. */
export type Ca = {
  /** SHA-256 of its certificate, 64 lowercase hex characters. */
  readonly caId: string;
  readonly der: Uint8Array;
  readonly status: CaStatus;
  /** The common name that the verification certificate must carry. */
  readonly verifyCode: string;
};

/** A certificate that no device may show. */
export type DisabledCertificate = {
  /** 40 (SHA-1) or 64 (SHA-256) lowercase hex characters. */
  readonly fingerprint: string;
  readonly disabledAtMs: number;
  /** Why, for operators. */
  readonly note: string;
};

/** What the CRL of a CA says. */
export type Crl = {
  readonly caId: string;
  /** The hash of the CA's name: 32 lowercase hex characters. */
  readonly issuer: string;
  /** Absent in a CRL without a number. */
  readonly number: bigint | undefined;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  /** Marks of the revoked certificates, in their order. */
  readonly revoked: readonly string[];
};

/**
 * All CAs; or the disabled certificates whose fingerprints begin with the same two digits, in their order; or the CRLs of CAs
 * whose hashed names begin so.
 */
export type TrustSet = {
  readonly cas: readonly Ca[];
  readonly disabled: readonly DisabledCertificate[];
  readonly crls: readonly Crl[];
};

/** A set of which nothing is kept. */
export const NOTHING_TRUSTED: TrustSet = { cas: [], disabled: [], crls: [] };

/** The set of all CAs. */
export const CAS_KEY = '.cas' as TrustKey;

/** The sets of the disabled certificates, in the order of the fingerprints. */
export const DISABLED_KEYS: readonly TrustKey[] = Array.from(
  { length: 256 },
  (_, byte) => `.${byte.toString(16).padStart(2, '0')}` as TrustKey,
);

/** The sets of CRLs, in the order of the hashed names. */
export const CRL_KEYS: readonly TrustKey[] = DISABLED_KEYS.map((key) => key.replace('.', '.i') as TrustKey);

const KEYS: ReadonlySet<string> = new Set([CAS_KEY, ...DISABLED_KEYS, ...CRL_KEYS]);

/** The text as the key of a set; undefined when it is none. */
export function parseTrustKey(text: string): TrustKey | undefined {
  return KEYS.has(text) ? (text as TrustKey) : undefined;
}

/** Is it the key of a set, and not the id of a device? */
export function isTrustKey(key: string): key is TrustKey {
  return key.startsWith('.');
}

/** The set that says whether the certificate with this fingerprint is disabled. */
export function disabledKeyOf(fingerprint: string): TrustKey {
  return `.${fingerprint.slice(0, 2)}` as TrustKey;
}

/** The set that holds the CRLs of CAs with this hashed name. */
export function issuerKeyOf(issuer: string): TrustKey {
  return `.i${issuer.slice(0, 2)}` as TrustKey;
}

/** The set that says whether the certificate with this mark is shut out. */
export function markKeyOf(mark: string): TrustKey {
  return mark.startsWith('i') ? issuerKeyOf(mark.slice(1)) : disabledKeyOf(mark);
}

/** A set as proofs are judged by it. */
export type TrustView = {
  /** Trusted CAs by id. */
  readonly trustedCas: ReadonlyMap<string, X509Certificate>;
  /** Marks of certificates that are disabled or revoked. */
  readonly disabled: ReadonlySet<string>;
};

/** What a set says of proofs; a CA that this OpenSSL cannot read is not trusted. */
export function viewOf(set: TrustSet): TrustView {
  const trusted = set.cas.flatMap(({ caId, der, status }): [string, X509Certificate][] => {
    const certificate = status === 'TRUSTED' ? parseCertificate(der) : undefined;
    return certificate === undefined ? [] : [[caId, certificate]];
  });
  const disabled = new Set(set.disabled.map(({ fingerprint }) => fingerprint));
  for (const { revoked } of set.crls) for (const mark of revoked) disabled.add(mark);
  return { trustedCas: new Map(trusted), disabled };
}

/** What a grant by certificate rests on besides the device's record: taking any of it away ends the session. */
export type Basis = {
  /** Marks of all certificates that were shown. */
  readonly marks: readonly string[];
  /** Ids of the CAs that had to be trusted. */
  readonly caIds: readonly string[];
};

/**
 * The marks by which what the proof shows may be shut out: of each certificate its fingerprints in both forms, those of its
 * twin, which is the same certificate to all who do not compare its bytes, and its issuance, by which CRLs name it. Of a bare
 * fingerprint no more is known. None in a proof without certificate.
 */
export function shownMarks(proof: Proof): readonly string[] {
  if (proof.kind === 'FINGERPRINT') return [parseFingerprint(proof.fingerprint)].filter((known) => known !== undefined);
  if (proof.kind !== 'CERTIFICATE') return [];
  return proof.chain.flatMap(marksOf);
}

function marksOf(der: Uint8Array): readonly string[] {
  const forms = [der, twinOf(der)].filter((form) => form !== undefined);
  return [...forms.flatMap((form) => Object.values(fingerprintsOf(form))), issuanceOf(der)].filter(
    (mark) => mark !== undefined,
  );
}
