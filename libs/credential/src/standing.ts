import type { CredentialId } from '@latchkey/kernel';
import type { DeviceState, Slot } from './device.ts';
import { heldIn } from './state.ts';
import { type DenyVerdict, deny, type GrantVerdict, type VerifyContext } from './verdict.ts';

/**
 * When the right to activate ends, milliseconds since the epoch: from that instant on the device is refused. undefined:
 * never, because the device is activated or has no timeout.
 */
export function activationDeadlineMs(device: DeviceState): number | undefined {
  if (device.activatedAtMs !== undefined || device.activationTimeoutS === 0) return undefined;
  return device.createdAtMs + device.activationTimeoutS * 1000;
}

/** Why the device is refused in spite of a right proof; undefined: it is not. FROZEN is told first. */
export function barred(device: DeviceState, nowMs: number): DenyVerdict | undefined {
  if (device.frozen) return deny('FROZEN');
  const deadlineMs = activationDeadlineMs(device);
  return deadlineMs !== undefined && nowMs >= deadlineMs ? deny('ACTIVATION_EXPIRED') : undefined;
}

/** Does this slot let a device in over this protocol? CoAP knows only the primary (IoTDA API iot_06_v5_0093), unless a setting says otherwise. */
export function isAccepted(slot: Slot, { protocol, settings }: VerifyContext): boolean {
  return slot === 'PRIMARY' || protocol !== 'COAP' || settings.coapAcceptsSecondary;
}

/** The verdict on a proof that is right for this slot. */
export function settle(
  device: DeviceState,
  right: { readonly slot: Slot; readonly credentialId: CredentialId },
  context: VerifyContext,
): GrantVerdict | DenyVerdict {
  if (!isAccepted(right.slot, context)) return deny('SECONDARY_NOT_ACCEPTED');
  const { slot, credentialId } = right;
  const { retires, expiresAtMs } = retirementFor(device, credentialId);
  const activate = device.activatedAtMs === undefined;
  const firstUse = heldIn(device, slot)?.firstUsedAtMs === undefined;
  const grant = { kind: 'GRANT', slot, credentialId, activate, firstUse, caIds: [], retires, expiresAtMs } as const;
  return barred(device, context.nowMs) ?? grant;
}

/** What a success with this credential means to the device's retirement. */
function retirementFor(
  { retirement }: DeviceState,
  credentialId: CredentialId,
): Pick<GrantVerdict, 'retires' | 'expiresAtMs'> {
  if (retirement === undefined) return NO_RETIREMENT;
  const { when } = retirement;
  if (retirement.credentialId === credentialId) {
    return { retires: undefined, expiresAtMs: when === 'ON_OTHER_USED' ? undefined : when.atMs };
  }
  return { retires: when === 'ON_OTHER_USED' ? retirement.credentialId : undefined, expiresAtMs: undefined };
}

const NO_RETIREMENT = { retires: undefined, expiresAtMs: undefined };
