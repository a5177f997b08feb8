import { timingSafeEqual, type X509Certificate } from 'node:crypto';
import type { CredentialId } from '@latchkey/kernel';
import {
  type Fingerprints,
  fingerprintsOf,
  isCurrent,
  isForClients,
  parseCertificate,
  parseFingerprint,
  trustedCaOf,
} from './certificate.ts';
import type { CertificateCredentials, DeviceState, Slot } from './device.ts';
import type { CertificateProof, FingerprintProof } from './proof.ts';
import { barred, isAccepted, settle } from './standing.ts';
import { type DenyVerdict, deny, type Verdict, type VerifyContext } from './verdict.ts';

/** Longest chain that is looked at: a leaf, and more intermediates than any device fleet has. */
const MAX_CHAIN_CERTIFICATES = 8;
/** Stands in where there is no fingerprint of the wanted length; what it matches is not accepted. */
const DUMMY = { sha1: '-'.repeat(40), sha256: '-'.repeat(64) };

/** A chain whose leaf was read once; the rest is DER, unread until a chain is demanded. */
type ShownChain = {
  readonly leaf: X509Certificate;
  readonly fingerprints: Fingerprints;
  readonly rest: readonly Uint8Array[];
};

/** A fingerprint with nothing behind it. */
type ShownFingerprint = { readonly leaf: undefined; readonly fingerprints: Partial<Fingerprints> };

type Shown = ShownChain | ShownFingerprint;

/** A device that authenticates by certificate. */
type Owner = { readonly device: DeviceState; readonly credentials: CertificateCredentials };

/** The slot that the fingerprint is right for. */
type Right = { readonly slot: Slot; readonly credentialId: CredentialId; readonly boundBy: string | undefined };

/** The verdict on a certificate chain. */
export function verifyCertificate(
  device: DeviceState | undefined,
  proof: CertificateProof,
  context: VerifyContext,
): Verdict {
  return verifyShown(device, readChain(proof.chain), context);
}

/** The verdict on a bare fingerprint: it matches SET slots, binds nothing and satisfies no demand for a chain. */
export function verifyFingerprint(
  device: DeviceState | undefined,
  proof: FingerprintProof,
  context: VerifyContext,
): Verdict {
  return verifyShown(device, readFingerprint(proof.fingerprint), context);
}

/** A certificate is tried on both SET slots before an ARMED primary may take it. */
function verifyShown(device: DeviceState | undefined, shown: Shown | undefined, context: VerifyContext): Verdict {
  const credentials = device?.credentials.kind === 'CERTIFICATE' ? device.credentials : undefined;
  const primary = match(credentials, 'PRIMARY', shown);
  const secondary = match(credentials, 'SECONDARY', shown);
  if (device === undefined) return deny('UNKNOWN_DEVICE');
  if (credentials === undefined) return deny('WRONG_KIND');
  if (shown === undefined) return deny('CERTIFICATE_INVALID');
  if (context.disabled) return deny('CERTIFICATE_DISABLED');
  const right = primary ?? secondary;
  if (right) return accept({ device, credentials }, right, shown, context);
  if (credentials.primary.state === 'ARMED') return bind(device, shown, context);
  return deny(holdsAny(credentials, context) ? 'FINGERPRINT_MISMATCH' : 'NO_CREDENTIAL');
}

/**
 * The verdict on what matches a SET slot. What trust on first use took rests on its CA for as long as the slot holds it:
 * no operator has ever named that certificate.
 */
function accept(owner: Owner, right: Right, shown: Shown, context: VerifyContext): Verdict {
  const { boundBy } = right;
  const refused = unusable(shown, context);
  if (refused !== undefined) return refused;
  const demanded = context.settings.requireTrustedCa || owner.credentials.requireTrustedCa;
  const caId = demanded ? chainCa(shown, context) : undefined;
  if (demanded && caId === undefined) return deny('CERTIFICATE_UNTRUSTED');
  if (boundBy !== undefined && !context.trustedCas.has(boundBy)) return deny('CERTIFICATE_UNTRUSTED');
  const verdict = settle(owner.device, right, context);
  if (verdict.kind === 'DENY') return verdict;
  return { ...verdict, caIds: [...new Set([caId, boundBy])].filter((known) => known !== undefined) };
}

/** The verdict on what an ARMED primary might take. */
function bind(device: DeviceState, shown: Shown, context: VerifyContext): Verdict {
  if (shown.leaf === undefined) return deny('CERTIFICATE_UNTRUSTED');
  const refused = unusable(shown, context);
  if (refused !== undefined) return refused;
  const caId = chainCa(shown, context);
  if (caId === undefined) return deny('CERTIFICATE_UNTRUSTED');
  return (
    barred(device, context.nowMs) ?? {
      kind: 'BIND',
      fingerprint: shown.fingerprints.sha256,
      caId,
      activate: device.activatedAtMs === undefined,
    }
  );
}

/** Usage and dates; a bare fingerprint has none. */
function unusable(shown: Shown, context: VerifyContext): DenyVerdict | undefined {
  if (shown.leaf === undefined) return undefined;
  if (!isForClients(shown.leaf)) return deny('CERTIFICATE_INVALID');
  return isCurrent(shown.leaf, context.nowMs) ? undefined : deny('CERTIFICATE_EXPIRED');
}

/** The trusted CA that the chain ends at; undefined: it ends at none, or there is no chain. */
function chainCa(shown: Shown, { trustedCas, nowMs }: VerifyContext): string | undefined {
  if (shown.leaf === undefined || trustedCas.size === 0) return undefined;
  const intermediates = shown.rest.map(parseCertificate).filter((certificate) => certificate !== undefined);
  return trustedCaOf({ leaf: shown.leaf, intermediates, trustedCas, nowMs });
}

/** The slot if it is SET to what was shown. The stored length says which hash counts; one compare in every case. */
function match(
  credentials: CertificateCredentials | undefined,
  slot: Slot,
  shown: Shown | undefined,
): Right | undefined {
  const content = slot === 'PRIMARY' ? credentials?.primary : credentials?.secondary;
  const held = content?.state === 'SET' ? content : undefined;
  const algorithm = held?.fingerprint.length === DUMMY.sha1.length ? 'sha1' : 'sha256';
  const given = shown?.fingerprints[algorithm];
  const expected = Buffer.from(held?.fingerprint ?? DUMMY[algorithm], 'utf8');
  const compared = Buffer.from(given ?? DUMMY[algorithm], 'utf8');
  const equal = expected.length === compared.length && timingSafeEqual(expected, compared);
  return equal && held && given !== undefined
    ? { slot, credentialId: held.credentialId, boundBy: held.boundBy }
    : undefined;
}

function holdsAny(credentials: CertificateCredentials, context: VerifyContext): boolean {
  if (credentials.primary.state === 'SET') return true;
  return credentials.secondary.state === 'SET' && isAccepted('SECONDARY', context);
}

function readChain(chain: readonly Uint8Array[]): ShownChain | undefined {
  const [first, ...rest] = chain;
  if (first === undefined || chain.length > MAX_CHAIN_CERTIFICATES) return undefined;
  const leaf = parseCertificate(first);
  return leaf && { leaf, fingerprints: fingerprintsOf(first), rest };
}

function readFingerprint(text: string): ShownFingerprint | undefined {
  const fingerprint = parseFingerprint(text);
  if (fingerprint === undefined) return undefined;
  const isSha1 = fingerprint.length === DUMMY.sha1.length;
  return { leaf: undefined, fingerprints: isSha1 ? { sha1: fingerprint } : { sha256: fingerprint } };
}
