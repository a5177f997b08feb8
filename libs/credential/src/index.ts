export { type Fingerprints, fingerprintsOf, parseCertificate, parseFingerprint } from './certificate.ts';
export { DENY_REASONS, type Decision, type Denied, type DenyReason, denied, type Granted } from './decision.ts';
export type {
  ArmedSlot,
  CertificateCredentials,
  CredentialKind,
  DeviceRecord,
  DeviceState,
  EmptySlot,
  FingerprintSlot,
  SecretCredentials,
  SecretFormat,
  SecretSlot,
  Slot,
} from './device.ts';
export { digestOf, parseTimestamp, type TimestampWindow } from './digest.ts';
export {
  activate,
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
  SecretProof,
  SignType,
} from './proof.ts';
export { isRefusal, REFUSAL_REASONS, type Refusal, type RefusalReason } from './refusal.ts';
export {
  bindFingerprint,
  type NewFingerprint,
  type NewSecret,
  type PresetFingerprint,
  resetFingerprint,
  resetSecret,
} from './reset.ts';
export { promoteSecondary, retire } from './rotation.ts';
export { generateSecret, parseSecret } from './secret-text.ts';
export { activationDeadlineMs } from './standing.ts';
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
