import type { DeviceId } from '@latchkey/kernel';
import type { DeviceState, SecretFormat } from './device.ts';
import { isRefusal, type Refusal, refuse } from './refusal.ts';
import { fingerprintSlot, type NewFingerprint, type NewSecret, secretSlot } from './reset.ts';
import { EMPTY, stateOf, withCredentials } from './state.ts';

/** Longest activation timeout, seconds: IoTDA's 32-bit range. */
const MAX_ACTIVATION_TIMEOUT_S = 2_147_483_647;

/** A device to register. The secondary starts EMPTY: only a reset sets it. */
export type NewDevice = {
  readonly deviceId: DeviceId;
  readonly nowMs: number;
  /** 0: no limit. */
  readonly activationTimeoutS: number;
  readonly credential:
    | { readonly kind: 'SECRET'; readonly format: SecretFormat; readonly primary: Omit<NewSecret, 'nowMs'> }
    | {
        readonly kind: 'CERTIFICATE';
        readonly requireTrustedCa: boolean;
        readonly primary: WithoutTime<NewFingerprint>;
      };
};

type WithoutTime<T> = T extends unknown ? Omit<T, 'nowMs'> : never;

/** What an operator may change of a device besides its credentials; what is absent stays. */
export type SettingsChange = { readonly requireTrustedCa?: boolean; readonly activationTimeoutS?: number };

/**
 * A device that was never activated. Refused: SECRET_LENGTH, SECRET_CHARACTERS, SECRET_NOT_HEX, FINGERPRINT_FORMAT,
 * TIMEOUT_RANGE.
 */
export function createDevice(options: NewDevice): DeviceState | Refusal {
  const { deviceId, nowMs, activationTimeoutS } = options;
  if (!isTimeout(activationTimeoutS)) return refuse('TIMEOUT_RANGE');
  const credentials = firstCredentials(options);
  if (isRefusal(credentials)) return credentials;
  return {
    ...{ deviceId, credentials, frozen: false, createdAtMs: nowMs, activatedAtMs: undefined, activationTimeoutS },
    retirement: undefined,
  };
}

/** Refuses the device from now on. The same object comes back when it is frozen already. */
export function freeze(device: DeviceState): DeviceState {
  return device.frozen ? device : { ...stateOf(device), frozen: true };
}

/** Lets the device in again. The same object comes back when it is not frozen. */
export function unfreeze(device: DeviceState): DeviceState {
  return device.frozen ? { ...stateOf(device), frozen: false } : device;
}

/** Changes the settings that are named. Refused: WRONG_KIND (a CA for a secret device), TIMEOUT_RANGE. */
export function updateSettings(device: DeviceState, change: SettingsChange): DeviceState | Refusal {
  const { credentials } = device;
  const { requireTrustedCa, activationTimeoutS = device.activationTimeoutS } = change;
  if (!isTimeout(activationTimeoutS)) return refuse('TIMEOUT_RANGE');
  if (requireTrustedCa === undefined) return { ...stateOf(device), activationTimeoutS };
  if (credentials.kind !== 'CERTIFICATE') return refuse('WRONG_KIND');
  return { ...withCredentials(device, { ...credentials, requireTrustedCa }), activationTimeoutS };
}

function firstCredentials({ credential, nowMs }: NewDevice): DeviceState['credentials'] | Refusal {
  if (credential.kind === 'SECRET') {
    const { kind, format } = credential;
    const primary = secretSlot({ ...credential.primary, nowMs }, format);
    return isRefusal(primary) ? primary : { kind, format, primary, secondary: EMPTY };
  }
  const { kind, requireTrustedCa } = credential;
  const primary = fingerprintSlot({ ...credential.primary, nowMs });
  return isRefusal(primary) ? primary : { kind, requireTrustedCa, primary, secondary: EMPTY };
}

function isTimeout(seconds: number): boolean {
  return Number.isInteger(seconds) && seconds >= 0 && seconds <= MAX_ACTIVATION_TIMEOUT_S;
}
