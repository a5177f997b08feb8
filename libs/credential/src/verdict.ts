import type { X509Certificate } from 'node:crypto';
import type { CredentialId } from '@latchkey/kernel';
import type { DenyReason } from './decision.ts';
import type { Slot } from './device.ts';
import type { TimestampWindow } from './digest.ts';
import type { Protocol } from './proof.ts';
import type { TokenKeys } from './token.ts';

/** What an operator sets for all devices. */
export type VerifySettings = {
  /** For digests of sign types 1 and 2. */
  readonly timestampWindow: TimestampWindow;
  /** Every certificate must chain to a trusted CA, whatever its device says. */
  readonly requireTrustedCa: boolean;
  /** CoAP takes the secondary as well, as MQTT and HTTPS do; the vendor's does not. */
  readonly coapAcceptsSecondary: boolean;
};

/** Named hour H passes from one hour before it to the end of the hour after it; a set fingerprint is enough. */
export const DEFAULT_SETTINGS: VerifySettings = {
  timestampWindow: { beforeMs: 3_600_000, afterMs: 7_200_000 },
  requireTrustedCa: false,
  coapAcceptsSecondary: false,
};

/** What a proof is judged by besides the device. */
export type VerifyContext = {
  /** Wall-clock time, milliseconds since the epoch. */
  readonly nowMs: number;
  readonly protocol: Protocol;
  readonly settings: VerifySettings;
  /** The CAs that certificates may chain to, by id: registered, proven and not disabled. */
  readonly trustedCas: ReadonlyMap<string, X509Certificate>;
  /** A certificate that the proof shows is disabled. */
  readonly disabled: boolean;
  /** The keys of access tokens; absent: none is accepted. */
  readonly tokenKeys?: TokenKeys | undefined;
};

/** The proof is right for this slot. */
export type GrantVerdict = {
  readonly kind: 'GRANT';
  readonly slot: Slot;
  readonly credentialId: CredentialId;
  /** The device is not activated yet; see `noteSuccess`. */
  readonly activate: boolean;
  /** The credential had no success yet. */
  readonly firstUse: boolean;
  /** The other credential, if its retirement waited for a success with this one. */
  readonly retires: CredentialId | undefined;
  /** When this credential retires, milliseconds since the epoch; undefined: not by the clock. */
  readonly expiresAtMs: number | undefined;
  /** Ids of the CAs that had to be trusted for it; empty: none had. */
  readonly caIds: readonly string[];
};

/** The primary is ARMED and the certificate may have it: the caller must write the binding, then verify again. */
export type BindVerdict = {
  readonly kind: 'BIND';
  /** SHA-256 of the DER leaf, 64 lowercase hex characters. */
  readonly fingerprint: string;
  /** The trusted CA that the certificate chains to. */
  readonly caId: string;
  /** The grant after the binding would activate the device. */
  readonly activate: boolean;
};

/** The proof does not let the device in. */
export type DenyVerdict = { readonly kind: 'DENY'; readonly reason: DenyReason };

/** What the rules say of one proof. */
export type Verdict = GrantVerdict | BindVerdict | DenyVerdict;

/** A refusal for a reason. */
export function deny(reason: DenyReason): DenyVerdict {
  return { kind: 'DENY', reason };
}
