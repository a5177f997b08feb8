import type { X509Certificate } from 'node:crypto';
import { allowedBelow, fingerprintsOf, isCurrent, isIssuedBy, parseCertificate } from './certificate.ts';
import { type Refusal, refuse } from './refusal.ts';
import type { Ca, CaStatus, DisabledCertificate, TrustSet } from './trust.ts';

/** CAs of a deployment, the vendor's figure; each chain that is looked at may be held against all of them. */
const MAX_CAS = 100;
/** Disabled certificates of one set: 256,000 in all, and a set stays below the megabyte that is read and written at once. */
const MAX_DISABLED_A_SET = 1_000;

/** A CA to register. */
export type NewCa = {
  readonly certificate: X509Certificate;
  /** Drawn for it; random. */
  readonly verifyCode: string;
  readonly nowMs: number;
};

/** The id of the CA with this certificate. */
export function caIdOf({ raw }: X509Certificate): string {
  return fingerprintsOf(raw).sha256;
}

/**
 * Takes in a CA, not trusted yet; one that was disabled begins anew. The same object comes back when it is registered and
 * not verified. Refused: NOT_A_CA, CA_NOT_CURRENT, CA_KNOWN, TOO_MANY_CAS.
 */
export function registerCa(set: TrustSet, { certificate, verifyCode, nowMs }: NewCa): TrustSet | Refusal {
  if (allowedBelow(certificate) === undefined) return refuse('NOT_A_CA');
  if (!isCurrent(certificate, nowMs)) return refuse('CA_NOT_CURRENT');
  const caId = caIdOf(certificate);
  const known = caIn(set, caId);
  if (known?.status === 'TRUSTED') return refuse('CA_KNOWN');
  if (known?.status === 'UNVERIFIED') return set;
  if (known === undefined && set.cas.length >= MAX_CAS) return refuse('TOO_MANY_CAS');
  const ca: Ca = { caId, der: certificate.raw, status: 'UNVERIFIED', verifyCode };
  return { ...set, cas: [...set.cas.filter((other) => other.caId !== caId), ca] };
}

/**
 * Trusts a CA whose key was used to sign a certificate with the verify code as its common name. The same object comes
 * back when it is trusted already. Refused: CA_UNKNOWN, CA_DISABLED, NOT_A_CA, CA_NOT_CURRENT, NOT_SIGNED_BY_CA,
 * WRONG_VERIFY_CODE, VERIFICATION_NOT_CURRENT.
 */
export function verifyCa(
  set: TrustSet,
  caId: string,
  proof: { readonly certificate: X509Certificate; readonly nowMs: number },
): TrustSet | Refusal {
  const known = caIn(set, caId);
  if (known === undefined) return refuse('CA_UNKNOWN');
  if (known.status === 'TRUSTED') return set;
  if (known.status === 'DISABLED') return refuse('CA_DISABLED');
  const { certificate, nowMs } = proof;
  const ca = parseCertificate(known.der);
  if (ca === undefined) return refuse('NOT_A_CA');
  if (!isCurrent(ca, nowMs)) return refuse('CA_NOT_CURRENT');
  if (!isIssuedBy(certificate, ca)) return refuse('NOT_SIGNED_BY_CA');
  if (commonNameOf(certificate) !== known.verifyCode) return refuse('WRONG_VERIFY_CODE');
  if (!isCurrent(certificate, nowMs)) return refuse('VERIFICATION_NOT_CURRENT');
  return withStatus(set, caId, 'TRUSTED');
}

/** Trusts a CA no more. The same object comes back when it is disabled already. Refused: CA_UNKNOWN. */
export function disableCa(set: TrustSet, caId: string): TrustSet | Refusal {
  const known = caIn(set, caId);
  if (known === undefined) return refuse('CA_UNKNOWN');
  return known.status === 'DISABLED' ? set : withStatus(set, caId, 'DISABLED');
}

/** Forgets a CA that is not trusted. Refused: CA_UNKNOWN, CA_TRUSTED. */
export function deleteCa(set: TrustSet, caId: string): TrustSet | Refusal {
  const known = caIn(set, caId);
  if (known === undefined) return refuse('CA_UNKNOWN');
  if (known.status === 'TRUSTED') return refuse('CA_TRUSTED');
  return { ...set, cas: set.cas.filter((ca) => ca !== known) };
}

/** The CA with this id, whatever its status. */
export function caIn({ cas }: TrustSet, caId: string): Ca | undefined {
  return cas.find((ca) => ca.caId === caId);
}

/** Disables a certificate. The same object comes back when it is disabled already. Refused: TOO_MANY_DISABLED. */
export function disableCertificate(set: TrustSet, certificate: DisabledCertificate): TrustSet | Refusal {
  const { disabled } = set;
  if (disabled.some(({ fingerprint }) => fingerprint === certificate.fingerprint)) return set;
  if (disabled.length >= MAX_DISABLED_A_SET) return refuse('TOO_MANY_DISABLED');
  const before = disabled.filter(({ fingerprint }) => fingerprint < certificate.fingerprint);
  return { ...set, disabled: [...before, certificate, ...disabled.slice(before.length)] };
}

/** Takes the disabling of a certificate back. Refused: NOT_DISABLED. */
export function enableCertificate(set: TrustSet, fingerprint: string): TrustSet | Refusal {
  const disabled = set.disabled.filter((certificate) => certificate.fingerprint !== fingerprint);
  return disabled.length === set.disabled.length ? refuse('NOT_DISABLED') : { ...set, disabled };
}

function withStatus(set: TrustSet, caId: string, status: CaStatus): TrustSet {
  return { ...set, cas: set.cas.map((ca) => (ca.caId === caId ? { ...ca, status } : ca)) };
}

/** The only common name of the subject; undefined: it has none, or more than one. */
function commonNameOf({ subject }: X509Certificate): string | undefined {
  // One attribute a line; Node escapes line breaks within a value. Undefined for an empty subject, whatever the types say.
  const lines = (subject as string | undefined)?.split('\n') ?? [];
  const [name, ...more] = lines.filter((line) => line.startsWith('CN='));
  return more.length === 0 ? name?.slice('CN='.length) : undefined;
}
