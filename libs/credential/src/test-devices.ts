import { type CredentialId, type DeviceId, Secret, toCredentialId, toRevision } from '@latchkey/kernel';
import type {
  CertificateCredentials,
  DeviceRecord,
  DeviceState,
  FingerprintSlot,
  SecretCredentials,
  SecretFormat,
  SecretSlot,
} from './device.ts';
import { digestOf } from './digest.ts';
import type { DigestProof, SecretProof, SignType } from './proof.ts';
import { EMPTY } from './state.ts';
import { DAY_MS, NOW_MS } from './test-pki.ts';

/** A credential id made of one number. */
export function idOf(number: number): CredentialId {
  return toCredentialId(Buffer.alloc(12, number));
}

/** The ids of the credentials of the devices below. */
export const PRIMARY_ID = idOf(1);
/** See PRIMARY_ID. */
export const SECONDARY_ID = idOf(2);

/** A record with these credentials; activated a day ago unless said otherwise. */
export function record(credentials: DeviceState['credentials'], change: Partial<DeviceState> = {}): DeviceRecord {
  return {
    deviceId: 'P1_n1' as DeviceId,
    credentials,
    frozen: false,
    createdAtMs: NOW_MS - 2 * DAY_MS,
    activatedAtMs: NOW_MS - DAY_MS,
    activationTimeoutS: 0,
    retirement: undefined,
    revision: toRevision(7),
    sessionsClosedAt: toRevision(3),
    ...change,
  };
}

/** Secrets for the slots; absent: EMPTY. */
export function secrets(primary?: string, secondary?: string, format: SecretFormat = 'TEXT'): SecretCredentials {
  return { kind: 'SECRET', format, primary: held(PRIMARY_ID, primary), secondary: held(SECONDARY_ID, secondary) };
}

/** Fingerprints for the slots; absent: EMPTY. */
export function fingerprints(
  primary?: string | 'ARMED',
  secondary?: string,
  requireTrustedCa = false,
): CertificateCredentials {
  return {
    kind: 'CERTIFICATE',
    requireTrustedCa,
    primary: primary === 'ARMED' ? { state: 'ARMED', setAtMs: NOW_MS } : pinned(PRIMARY_ID, primary),
    secondary: pinned(SECONDARY_ID, secondary),
  };
}

/** What a device with this secret sends. */
export function digest(secret: string, timestamp = '2026112308', signType: SignType = 1): DigestProof {
  return { kind: 'DIGEST', signType, timestamp, password: digestOf(signType, timestamp, secret) };
}

/** The secret in clear. */
export function plain(secret: string): SecretProof {
  return { kind: 'SECRET', secret: new Secret(secret) };
}

/** Set and used a day ago. */
const TIMES = { setAtMs: NOW_MS - DAY_MS, firstUsedAtMs: NOW_MS - DAY_MS };

function held(credentialId: CredentialId, secret: string | undefined): SecretSlot | typeof EMPTY {
  if (secret === undefined) return EMPTY;
  return { state: 'SET', credentialId, ...TIMES, secret: new Secret(secret) };
}

function pinned(credentialId: CredentialId, fingerprint: string | undefined): FingerprintSlot | typeof EMPTY {
  return fingerprint === undefined ? EMPTY : { state: 'SET', credentialId, ...TIMES, fingerprint, boundBy: undefined };
}
