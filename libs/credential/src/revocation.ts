import type { X509Certificate } from 'node:crypto';
import { caIdOf } from './authority.ts';
import { isKnownAlgorithm, isSignedBy, type ParsedCrl, parseCrl } from './crl.ts';
import { issuance, subjectOf } from './issuance.ts';
import { type Refusal, refuse } from './refusal.ts';
import { type Crl, issuerKeyOf, type TrustKey, type TrustSet } from './trust.ts';

/** Revoked certificates of one set, which stays below two megabytes: those of its CAs, of which two seldom share one. */
const MAX_REVOKED_A_SET = 100_000;

/** The set that holds the CRL of this CA; undefined: its name cannot be read. */
export function crlKeyOf(ca: X509Certificate): TrustKey | undefined {
  const name = subjectOf(ca.raw);
  return name === undefined ? undefined : issuerKeyOf(name);
}

/** A CRL to take in. */
export type NewCrl = { readonly ca: X509Certificate; readonly bytes: Uint8Array; readonly nowMs: number };

/**
 * Takes in a CRL in the place of the one before. The same object comes back when that one says the same. Refused: NOT_A_CRL,
 * CRL_PARTIAL, CRL_ALGORITHM, CRL_NOT_SIGNED_BY_CA, CRL_NOT_CURRENT, CRL_OLDER, TOO_MANY_REVOKED.
 */
export function takeCrl(set: TrustSet, { ca, bytes, nowMs }: NewCrl): TrustSet | Refusal {
  const parsed = parseCrl(bytes);
  if (parsed === undefined) return refuse('NOT_A_CRL');
  if (parsed.isPartial) return refuse('CRL_PARTIAL');
  if (!isKnownAlgorithm(parsed)) return refuse('CRL_ALGORITHM');
  if (parsed.issuer !== subjectOf(ca.raw) || !isSignedBy(parsed, ca)) return refuse('CRL_NOT_SIGNED_BY_CA');
  if (nowMs < parsed.thisUpdateMs || parsed.nextUpdateMs < nowMs) return refuse('CRL_NOT_CURRENT');
  const caId = caIdOf(ca);
  const known = crlIn(set, caId);
  const crl = crlOf(caId, parsed);
  if (known !== undefined && isSame(known, crl)) return set;
  if (known !== undefined && !isNewer(known, crl)) return refuse('CRL_OLDER');
  const others = set.crls.filter((other) => other.caId !== caId);
  const revoked = [...others, crl].reduce((sum, { revoked: marks }) => sum + marks.length, 0);
  return revoked > MAX_REVOKED_A_SET ? refuse('TOO_MANY_REVOKED') : { ...set, crls: [...others, crl] };
}

/** Forgets the CRL of a CA, and with it what it revoked. Refused: NO_CRL. */
export function dropCrl(set: TrustSet, caId: string): TrustSet | Refusal {
  const crls = set.crls.filter((crl) => crl.caId !== caId);
  return crls.length === set.crls.length ? refuse('NO_CRL') : { ...set, crls };
}

/** The CRL of a CA. */
export function crlIn({ crls }: TrustSet, caId: string): Crl | undefined {
  return crls.find((crl) => crl.caId === caId);
}

function crlOf(caId: string, { issuer, number, thisUpdateMs, nextUpdateMs, serials }: ParsedCrl): Crl {
  const revoked = [...new Set(serials)].toSorted().map((serial) => issuance(issuer, serial));
  return { caId, issuer, number, thisUpdateMs, nextUpdateMs, revoked };
}

function isSame(known: Crl, given: Crl): boolean {
  return (
    known.number === given.number &&
    known.thisUpdateMs === given.thisUpdateMs &&
    known.nextUpdateMs === given.nextUpdateMs &&
    known.revoked.length === given.revoked.length &&
    known.revoked.every((mark, at) => mark === given.revoked[at])
  );
}

/** Numbers count where both have one (RFC 5280 section 5.2.3), and the date in every case. */
function isNewer(known: Crl, given: Crl): boolean {
  if (given.thisUpdateMs < known.thisUpdateMs) return false;
  if (known.number !== undefined) return given.number !== undefined && given.number > known.number;
  return given.number !== undefined || given.thisUpdateMs > known.thisUpdateMs;
}
