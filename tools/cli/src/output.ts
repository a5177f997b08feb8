import type { JsonValue } from '@bufbuild/protobuf';
import { type Timestamp, timestampDate } from '@bufbuild/protobuf/wkt';
import {
  type Credential,
  CredentialKind,
  DenyReason,
  type Device,
  DeviceStatus,
  SecretFormat,
  Slot,
  SlotState,
} from '@latchkey/protocol/v1';
import type { ExitCode } from './errors.ts';

/** What a command has to say. */
export type Answer = {
  /** For programs: one object. */
  readonly json: JsonValue;
  /** For people: lines, without the last end of line. */
  readonly text: string;
  /** A remark for people, on standard error. */
  readonly note?: string;
  /** 0 when absent. */
  readonly exitCode?: ExitCode;
};

/** How a message becomes JSON: the mapping of protobuf, with every field that is not optional (64-bit numbers as text). */
export const JSON_FORM = { alwaysEmitImplicit: true } as const;

/** Why a device is refused, in words. */
export function reasonWords(reason: DenyReason): string {
  return word(REASONS, reason);
}

/** The name of what a slot holds. */
export function stateName(state: SlotState): string {
  return word(STATES, state);
}

/** A slot's name. */
export function slotName(slot: Slot): string {
  return word(SLOTS, slot);
}

const REASONS: Readonly<Record<DenyReason, string>> = {
  [DenyReason.UNSPECIFIED]: 'the service does not say why',
  [DenyReason.UNKNOWN_DEVICE]: 'there is no such device',
  [DenyReason.WRONG_KIND]: 'the device authenticates by the other kind of credential',
  [DenyReason.NO_CREDENTIAL]: 'its slots hold no credential',
  [DenyReason.SECRET_MISMATCH]: 'the secret, or what was computed from it, matches no slot',
  [DenyReason.STALE_TIMESTAMP]: 'the timestamp is outside the window that the sign type demands',
  [DenyReason.FINGERPRINT_MISMATCH]: 'the fingerprint matches no slot',
  [DenyReason.CERTIFICATE_INVALID]: 'the certificate cannot be read, or must not be used by a client',
  [DenyReason.CERTIFICATE_EXPIRED]: 'the certificate is not valid now',
  [DenyReason.CERTIFICATE_UNTRUSTED]: 'the certificate does not rest on a trusted CA',
  [DenyReason.CERTIFICATE_DISABLED]: 'a certificate of the chain was disabled, or its CA has revoked it',
  [DenyReason.SECONDARY_NOT_ACCEPTED]: 'the proof is right for the secondary slot, which this protocol does not accept',
  [DenyReason.FROZEN]: 'the proof is right, the device is frozen',
  [DenyReason.ACTIVATION_EXPIRED]: 'the proof is right, the device was not activated in time',
  [DenyReason.TOKEN_INVALID]: 'the token is not one for this device',
  [DenyReason.TOKEN_EXPIRED]: 'the token has expired',
  [DenyReason.TOKEN_REVOKED]: 'the token stood for a credential or a time that was ended',
  [DenyReason.THROTTLED]: 'too many failed attempts of late',
};

const SLOTS: Readonly<Record<Slot, string>> = {
  [Slot.UNSPECIFIED]: 'unknown',
  [Slot.PRIMARY]: 'primary',
  [Slot.SECONDARY]: 'secondary',
};

const KINDS: Readonly<Record<CredentialKind, string>> = {
  [CredentialKind.UNSPECIFIED]: 'unknown',
  [CredentialKind.SECRET]: 'secret',
  [CredentialKind.CERTIFICATE]: 'certificate',
};

const STATUSES: Readonly<Record<DeviceStatus, string>> = {
  [DeviceStatus.UNSPECIFIED]: 'unknown',
  [DeviceStatus.INACTIVE]: 'inactive',
  [DeviceStatus.ACTIVE]: 'active',
  [DeviceStatus.ONLINE]: 'online',
  [DeviceStatus.OFFLINE]: 'offline',
  [DeviceStatus.FROZEN]: 'frozen',
};

const STATES: Readonly<Record<SlotState, string>> = {
  [SlotState.UNSPECIFIED]: 'unknown',
  [SlotState.EMPTY]: 'empty',
  [SlotState.SET]: 'set',
  [SlotState.ARMED]: 'armed',
};

/** A device, one property a line, and its new secret where it is to be shown. */
export function describeDevice(device: Device, secret = ''): string {
  return pairs([
    ['device', device.deviceId],
    ['status', word(STATUSES, device.status)],
    ['kind', word(KINDS, device.kind) + (device.secretFormat === SecretFormat.HEX ? ', hex' : '')],
    ['primary', describeCredential(device.primary)],
    ['secondary', describeCredential(device.secondary)],
    ['trusted CA', device.requireTrustedCa ? 'required' : ''],
    ['created', time(device.createdAt)],
    ['activated', time(device.activatedAt) || 'never'],
    ['activation', device.activationTimeoutS === 0 ? '' : `within ${device.activationTimeoutS} s of creation`],
    ['revision', String(device.revision)],
    ['secret', secret],
  ]);
}

/** What a slot holds: its state, the credential's id, since when, a fingerprint, what bound it, and when it retires. */
export function describeCredential(credential: Credential | undefined): string {
  if (credential === undefined) return 'empty';
  const { state, credentialId, setAt, fingerprint, boundByCa, retiresAt, retiresOnOtherUsed } = credential;
  const since = setAt === undefined ? '' : `since ${time(setAt)}`;
  const retires = retiresOnOtherUsed ? 'retires once the other is used' : retiresAt && `retires ${time(retiresAt)}`;
  const bound = boundByCa === '' ? '' : `bound by CA ${boundByCa}`;
  return [word(STATES, state), credentialId, since, fingerprint, bound, retires ?? '']
    .filter((part) => part !== '')
    .join(' ');
}

/** Devices as a table with a head. */
export function deviceTable(devices: readonly Device[]): string {
  const rows = devices.map((device) => [
    device.deviceId,
    word(STATUSES, device.status),
    word(KINDS, device.kind),
    word(STATES, device.primary?.state ?? SlotState.EMPTY),
    word(STATES, device.secondary?.state ?? SlotState.EMPTY),
    String(device.revision),
  ]);
  return columns([['DEVICE', 'STATUS', 'KIND', 'PRIMARY', 'SECONDARY', 'REVISION'], ...rows]);
}

/** Named values, one a line; empty ones are left out. */
export function pairs(values: readonly (readonly [name: string, value: string])[]): string {
  return columns(values.filter(([, value]) => value !== ''));
}

/** Rows with their cells below each other. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** A number's word; a newer server may send what this table does not have yet. */
export function word(table: Readonly<Record<number, string>>, value: number): string {
  return table[value] ?? `number ${value}`;
}

/** A moment, empty when there is none. */
export function time(timestamp: Timestamp | undefined): string {
  return timestamp === undefined ? '' : timestampDate(timestamp).toISOString();
}

/** What an answer must have. */
export function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the server left out what it was asked for');
  return value;
}
