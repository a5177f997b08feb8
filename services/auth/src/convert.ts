// Between the words of the API (proto/latchkey/v1) and those of the middle (libs/credential, libs/store).
import { create } from '@bufbuild/protobuf';
import { type Timestamp, timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  contentOf,
  type Decision,
  type DeviceRecord,
  type Granted as GrantedDecision,
  isTrustKey,
  type Protocol,
  type SecretFormat,
  type Slot,
} from '@latchkey/credential';
import {
  type Change,
  ChangeKind,
  ChangeSchema,
  type Credential,
  CredentialKind,
  CredentialSchema,
  type Denied,
  DeniedSchema,
  DenyReason,
  type Device,
  DeviceSchema,
  DeviceStatus,
  type Granted,
  Protocol as ProtocolNumber,
  SecretFormat as SecretFormatNumber,
  SessionEffect,
  Slot as SlotNumber,
  SlotState,
} from '@latchkey/protocol/v1';
import type { SessionEffect as Effect, Change as LogChange } from '@latchkey/store';
import { packBasis } from './basis.ts';

/** The slot that a validated request names. */
export function slotOf(slot: SlotNumber): Slot {
  return slot === SlotNumber.SECONDARY ? 'SECONDARY' : 'PRIMARY';
}

/** The protocol that a request names; undefined: none. */
export function protocolOf(protocol: ProtocolNumber): Protocol | undefined {
  switch (protocol) {
    case ProtocolNumber.MQTT:
      return 'MQTT';
    case ProtocolNumber.COAP:
      return 'COAP';
    case ProtocolNumber.HTTPS:
      return 'HTTPS';
    default:
      return undefined;
  }
}

/** The format that a request names; unset is TEXT. */
export function secretFormatOf(format: SecretFormatNumber): SecretFormat {
  return format === SecretFormatNumber.HEX ? 'HEX' : 'TEXT';
}

const NO_BASIS = new Uint8Array();

/** Made for every decision, so as one literal: `create` looks at each field of the schema. */
function toGranted(decision: GrantedDecision): Granted {
  const { basis, expiresAtMs } = decision;
  const granted: Granted = {
    $typeName: 'latchkey.v1.Granted',
    slot: SlotNumber[decision.slot],
    credentialId: decision.credentialId,
    revision: BigInt(decision.revision),
    activatedNow: decision.activatedNow,
    basis: basis === undefined ? NO_BASIS : packBasis(basis),
  };
  if (expiresAtMs !== undefined) granted.expiresAt = timestampFromMs(expiresAtMs);
  return granted;
}

/** A decision as the API tells it. */
export function toDecision(
  decision: Decision,
): { case: 'granted'; value: Granted } | { case: 'denied'; value: Denied } {
  if (decision.granted) return { case: 'granted', value: toGranted(decision) };
  return { case: 'denied', value: create(DeniedSchema, { reason: DenyReason[decision.reason] }) };
}

/** What a slot holds, without its secret. */
export function toCredential(record: DeviceRecord, slot: Slot): Credential {
  const held = contentOf(record, slot);
  const credential = create(CredentialSchema, {
    slot: SlotNumber[slot],
    state: SlotState[held.state],
    credentialId: held.state === 'SET' ? held.credentialId : '',
    fingerprint: held.state === 'SET' && 'fingerprint' in held ? held.fingerprint : '',
    boundByCa: held.state === 'SET' && 'fingerprint' in held ? (held.boundBy ?? '') : '',
    ...(held.state === 'EMPTY' ? {} : { setAt: timestampFromMs(held.setAtMs) }),
  });
  const { retirement } = record;
  if (held.state !== 'SET' || retirement?.credentialId !== held.credentialId) return credential;
  if (retirement.when === 'ON_OTHER_USED') credential.retiresOnOtherUsed = true;
  else credential.retiresAt = timestampFromMs(retirement.when.atMs);
  return credential;
}

/** A device as operators see it. */
export function toDevice(record: DeviceRecord): Device {
  const { credentials } = record;
  const device = create(DeviceSchema, {
    deviceId: record.deviceId,
    kind: CredentialKind[credentials.kind],
    status: statusOf(record),
    primary: toCredential(record, 'PRIMARY'),
    secondary: toCredential(record, 'SECONDARY'),
    activationTimeoutS: record.activationTimeoutS,
    createdAt: timestampFromMs(record.createdAtMs),
    revision: BigInt(record.revision),
  });
  if (credentials.kind === 'SECRET') device.secretFormat = SecretFormatNumber[credentials.format];
  else device.requireTrustedCa = credentials.requireTrustedCa;
  const activatedAt = optionalTime(record.activatedAtMs);
  if (activatedAt !== undefined) device.activatedAt = activatedAt;
  return device;
}

function optionalTime(ms: number | undefined): Timestamp | undefined {
  return ms === undefined ? undefined : timestampFromMs(ms);
}

function statusOf(record: DeviceRecord): DeviceStatus {
  if (record.frozen) return DeviceStatus.FROZEN;
  return record.activatedAtMs === undefined ? DeviceStatus.INACTIVE : DeviceStatus.ACTIVE;
}

/** A change as gateways hear it. */
export function toChange(change: LogChange): Change {
  return create(ChangeSchema, {
    deviceId: isTrustKey(change.key) ? '' : change.key,
    revision: BigInt(change.position),
    kind: ChangeKind[change.kind],
    effect: toEffect(change.effect),
    credentialId: change.effect.close === 'CREDENTIAL' ? change.effect.credentialId : '',
  });
}

function toEffect(effect: Effect): SessionEffect {
  switch (effect.close) {
    case 'NONE':
      return SessionEffect.KEEP;
    case 'DEVICE':
      return SessionEffect.CLOSE_DEVICE;
    case 'CERTIFICATES':
      return SessionEffect.CHECK_CERTIFICATES;
    case 'CREDENTIAL':
      return SessionEffect.CLOSE_CREDENTIAL;
  }
}
