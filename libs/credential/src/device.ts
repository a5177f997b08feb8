import type { CredentialId, DeviceId, Revision, Secret } from '@latchkey/kernel';

/** How a device authenticates: by one kind, never by both. */
export type CredentialKind = 'SECRET' | 'CERTIFICATE';

/** The two places for a credential; of equal effect, except that CoAP knows only the primary. */
export type Slot = 'PRIMARY' | 'SECONDARY';

/** What the characters of a secret mean: HEX (NB-IoT) is decoded before it serves as a DTLS pre-shared key. */
export type SecretFormat = 'TEXT' | 'HEX';

/** A slot that matches no proof. */
export type EmptySlot = { readonly state: 'EMPTY' };

/** A slot that binds the first certificate from a trusted CA; only the primary of a certificate device. */
export type ArmedSlot = { readonly state: 'ARMED'; readonly setAtMs: number };

/** A slot that holds a secret. */
export type SecretSlot = {
  readonly state: 'SET';
  readonly credentialId: CredentialId;
  readonly setAtMs: number;
  /** Its first success; undefined: never yet. */
  readonly firstUsedAtMs: number | undefined;
  readonly secret: Secret;
};

/** A slot that holds a certificate's fingerprint: 40 (SHA-1) or 64 (SHA-256) lowercase hex characters. */
export type FingerprintSlot = {
  readonly state: 'SET';
  readonly credentialId: CredentialId;
  readonly setAtMs: number;
  /** Its first success; undefined: never yet. */
  readonly firstUsedAtMs: number | undefined;
  readonly fingerprint: string;
  /** The id of the CA through which trust on first use took it; undefined: an operator set it. */
  readonly boundBy: string | undefined;
};

/** The secrets of a device. */
export type SecretCredentials = {
  readonly kind: 'SECRET';
  readonly format: SecretFormat;
  readonly primary: EmptySlot | SecretSlot;
  readonly secondary: EmptySlot | SecretSlot;
};

/** The certificates of a device. */
export type CertificateCredentials = {
  readonly kind: 'CERTIFICATE';
  /** A chain to a trusted CA is demanded even when the fingerprint is set. */
  readonly requireTrustedCa: boolean;
  readonly primary: EmptySlot | ArmedSlot | FingerprintSlot;
  readonly secondary: EmptySlot | FingerprintSlot;
};

/** When a credential stops being accepted: from a time on, milliseconds since the epoch, or from a success with the other. */
export type RetirementMoment = { readonly atMs: number } | 'ON_OTHER_USED';

/** A retirement that is still to come. The credential's slot is wherever a promotion has moved it. */
export type Retirement = { readonly credentialId: CredentialId; readonly when: RetirementMoment };

/** All that is kept of a device, without its revision: what a write writes. */
export type DeviceState = {
  readonly deviceId: DeviceId;
  readonly credentials: SecretCredentials | CertificateCredentials;
  readonly frozen: boolean;
  readonly createdAtMs: number;
  /** The first success; undefined: never yet. */
  readonly activatedAtMs: number | undefined;
  /** Seconds from creation within which the device must authenticate for the first time; 0: no limit. */
  readonly activationTimeoutS: number;
  /** Of a credential that a slot holds; undefined: none is retiring. */
  readonly retirement: Retirement | undefined;
};

/** A device's state as the store has it. */
export type DeviceRecord = DeviceState & {
  readonly revision: Revision;
  /** The revision of the last write that closed every session of the device; 0: none did. */
  readonly sessionsClosedAt: Revision;
};
