import type { CredentialId, Secret } from '@latchkey/kernel';
import { parseFingerprint } from './certificate.ts';
import type { ArmedSlot, DeviceState, FingerprintSlot, SecretFormat, SecretSlot, Slot } from './device.ts';
import { isRefusal, type Refusal, refuse } from './refusal.ts';
import { parseSecret } from './secret-text.ts';
import { withCredentials } from './state.ts';

/** A secret to set, with the id drawn for it. */
export type NewSecret = { readonly credentialId: CredentialId; readonly secret: Secret; readonly nowMs: number };

/** A fingerprint to set, with the id drawn for it; 40 or 64 hex characters of either case. */
export type PresetFingerprint = {
  readonly credentialId: CredentialId;
  readonly fingerprint: string;
  readonly nowMs: number;
};

/** A fingerprint that trust on first use takes, and the id of the CA that it rests on. */
export type BoundFingerprint = PresetFingerprint & { readonly boundBy: string };

/** A fingerprint to set, or the explicit wish to bind the first certificate from a trusted CA. */
export type NewFingerprint = PresetFingerprint | { readonly trustOnFirstUse: true; readonly nowMs: number };

/**
 * Sets one slot to a secret and touches nothing else. Refused: WRONG_KIND, SECRET_LENGTH, SECRET_CHARACTERS,
 * SECRET_NOT_HEX.
 */
export function resetSecret(device: DeviceState, slot: Slot, next: NewSecret): DeviceState | Refusal {
  const { credentials } = device;
  if (credentials.kind !== 'SECRET') return refuse('WRONG_KIND');
  const set = secretSlot(next, credentials.format);
  if (isRefusal(set)) return set;
  return withCredentials(
    device,
    slot === 'PRIMARY' ? { ...credentials, primary: set } : { ...credentials, secondary: set },
  );
}

/**
 * Sets one slot to a fingerprint, or arms the primary, and touches nothing else. Refused: WRONG_KIND,
 * SECONDARY_CANNOT_ARM, FINGERPRINT_FORMAT.
 */
export function resetFingerprint(device: DeviceState, slot: Slot, next: NewFingerprint): DeviceState | Refusal {
  const { credentials } = device;
  if (credentials.kind !== 'CERTIFICATE') return refuse('WRONG_KIND');
  const content = fingerprintSlot(next);
  if (isRefusal(content)) return content;
  if (slot === 'PRIMARY') return withCredentials(device, { ...credentials, primary: content });
  if (content.state === 'ARMED') return refuse('SECONDARY_CANNOT_ARM');
  return withCredentials(device, { ...credentials, secondary: content });
}

/**
 * Gives an ARMED primary the fingerprint of its first certificate, after a BIND verdict. Refused: WRONG_KIND, NOT_ARMED,
 * FINGERPRINT_FORMAT.
 */
export function bindFingerprint(device: DeviceState, next: BoundFingerprint): DeviceState | Refusal {
  const { credentials } = device;
  if (credentials.kind !== 'CERTIFICATE') return refuse('WRONG_KIND');
  if (credentials.primary.state !== 'ARMED') return refuse('NOT_ARMED');
  const content = fingerprintSlot(next);
  if (isRefusal(content)) return content;
  const primary = content.state === 'SET' ? { ...content, boundBy: next.boundBy } : content;
  return withCredentials(device, { ...credentials, primary });
}

/** A slot that holds this secret. Refused: SECRET_LENGTH, SECRET_CHARACTERS, SECRET_NOT_HEX. */
export function secretSlot(next: NewSecret, format: SecretFormat): SecretSlot | Refusal {
  const secret = parseSecret(next.secret.reveal(), format);
  if (isRefusal(secret)) return secret;
  return { state: 'SET', credentialId: next.credentialId, setAtMs: next.nowMs, firstUsedAtMs: undefined, secret };
}

/** A slot that holds this fingerprint, or is ARMED. Refused: FINGERPRINT_FORMAT. */
export function fingerprintSlot(next: NewFingerprint): FingerprintSlot | ArmedSlot | Refusal {
  if ('trustOnFirstUse' in next) return { state: 'ARMED', setAtMs: next.nowMs };
  const fingerprint = parseFingerprint(next.fingerprint);
  if (fingerprint === undefined) return refuse('FINGERPRINT_FORMAT');
  const { credentialId, nowMs: setAtMs } = next;
  return { state: 'SET', credentialId, setAtMs, firstUsedAtMs: undefined, fingerprint, boundBy: undefined };
}
