import { timingSafeEqual, type X509Certificate } from 'node:crypto';
import type { CredentialId } from '@latchkey/kernel';
import {
  allowsClientUse,
  chainsToTrusted,
  type Fingerprints,
  fingerprintsOf,
  isCurrent,
  parseCertificate,
  parseFingerprint,
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
type Right = { readonly slot: Slot; readonly credentialId: CredentialId };

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
  const right = primary ?? secondary;
  if (right) return accept({ device, credentials }, right, shown, context);
  if (credentials.primary.state === 'ARMED') return bind(device, shown, context);
  return deny(holdsAny(credentials, context) ? 'FINGERPRINT_MISMATCH' : 'NO_CREDENTIAL');
}

/** The verdict on what matches a SET slot. */
function accept(owner: Owner, right: Right, shown: Shown, context: VerifyContext): Verdict {
  const demanded = context.settings.requireTrustedCa || owner.credentials.requireTrustedCa;
  return (
    unusable(shown, context) ??
    (demanded ? untrusted(shown, context) : undefined) ??
    settle(owner.device, right, context)
  );
}

/** The verdict on what an ARMED primary might take. */
function bind(device: DeviceState, shown: Shown, context: VerifyContext): Verdict {
  if (shown.leaf === undefined) return deny('CERTIFICATE_UNTRUSTED');
  return (
    unusable(shown, context) ??
    untrusted(shown, context) ??
    barred(device, context.nowMs) ?? {
      kind: 'BIND',
      fingerprint: shown.fingerprints.sha256,
      activate: device.activatedAtMs === undefined,
    }
  );
}

/** Usage and dates; a bare fingerprint has none. */
function unusable(shown: Shown, context: VerifyContext): DenyVerdict | undefined {
  if (shown.leaf === undefined) return undefined;
  if (!allowsClientUse(shown.leaf)) return deny('CERTIFICATE_INVALID');
  return isCurrent(shown.leaf, context.nowMs) ? undefined : deny('CERTIFICATE_EXPIRED');
}

function untrusted(shown: Shown, context: VerifyContext): DenyVerdict | undefined {
  if (shown.leaf === undefined) return deny('CERTIFICATE_UNTRUSTED');
  const intermediates = shown.rest.map(parseCertificate).filter((certificate) => certificate !== undefined);
  const { trustedCas, nowMs } = context;
  const trusted = chainsToTrusted({ leaf: shown.leaf, intermediates, trustedCas, nowMs });
  return trusted ? undefined : deny('CERTIFICATE_UNTRUSTED');
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
  return equal && held && given !== undefined ? { slot, credentialId: held.credentialId } : undefined;
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
