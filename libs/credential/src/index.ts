export {
  caIdOf,
  caIn,
  deleteCa,
  disableCa,
  disableCertificate,
  enableCertificate,
  type NewCa,
  registerCa,
  verifyCa,
} from './authority.ts';
export { type Fingerprints, fingerprintsOf, parseCertificate, parseFingerprint, parsePem } from './certificate.ts';
export { DENY_REASONS, type Decision, type Denied, type DenyReason, denied, type Granted } from './decision.ts';
export type {
  ArmedSlot,
  CertificateCredentials,
  CredentialKind,
  DeviceRecord,
  DeviceState,
  EmptySlot,
  FingerprintSlot,
  Retirement,
  RetirementMoment,
  SecretCredentials,
  SecretFormat,
  SecretSlot,
  Slot,
} from './device.ts';
export { digestOf, parseTimestamp, type TimestampWindow } from './digest.ts';
export {
  createDevice,
  freeze,
  type NewDevice,
  type SettingsChange,
  unfreeze,
  updateSettings,
} from './lifecycle.ts';
export type {
  CertificateProof,
  DigestProof,
  FingerprintProof,
  Proof,
  Protocol,
  PskDerivation,
  PskProof,
  SecretProof,
  SignType,
  TokenProof,
} from './proof.ts';
export { type PskSecrets, pskSecrets } from './psk-secrets.ts';
export { isRefusal, REFUSAL_REASONS, type Refusal, type RefusalReason, refuse } from './refusal.ts';
export {
  type BoundFingerprint,
  bindFingerprint,
  type NewFingerprint,
  type NewSecret,
  type PresetFingerprint,
  resetFingerprint,
  resetSecret,
} from './reset.ts';
export { dueAtMs, dueRetirement, retireLater, retirementDeadlineMs, standingAt } from './retirement.ts';
export { crlIn, crlKeyOf, dropCrl, type NewCrl, takeCrl } from './revocation.ts';
export {
  type LastUses,
  lastUseOf,
  locksOut,
  promoteSecondary,
  type RetireWhen,
  retire,
  safeToRetire,
  USE_PRECISION_MS,
} from './rotation.ts';
export { generateSecret, parseSecret } from './secret-text.ts';
export { restsOn, type SessionContext, type SessionGrant, sessionStands } from './session.ts';
export { activationDeadlineMs } from './standing.ts';
export { contentOf, EMPTY, heldIn, otherSlot } from './state.ts';
export { leavesTrace, noteSuccess } from './success.ts';
export { makeToken, TOKEN_LIFE_MS, type TokenKeys } from './token.ts';
export {
  type Basis,
  CAS_KEY,
  type Ca,
  type CaStatus,
  CRL_KEYS,
  type Crl,
  DISABLED_KEYS,
  type DisabledCertificate,
  disabledKeyOf,
  issuerKeyOf,
  isTrustKey,
  markKeyOf,
  NOTHING_TRUSTED,
  parseTrustKey,
  shownMarks,
  type TrustKey,
  type TrustSet,
  type TrustView,
  viewOf,
} from './trust.ts';
export {
  type BindVerdict,
  DEFAULT_SETTINGS,
  type DenyVerdict,
  type GrantVerdict,
  type Verdict,
  type VerifyContext,
  type VerifySettings,
} from './verdict.ts';
export { verify } from './verify.ts';
