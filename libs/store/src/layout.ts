import {
  type ArmedSlot,
  type CertificateCredentials,
  type DeviceState,
  type EmptySlot,
  type FingerprintSlot,
  heldIn,
  type Retirement,
  type SecretCredentials,
  type SecretSlot,
} from '@latchkey/credential';
import { type CredentialId, type DeviceId, parseDeviceId, Secret } from '@latchkey/kernel';
import { type Cursor, LayoutError, takeEncoded, takeEnd, takeText, takeUint, text, uint } from './bytes.ts';

// The open part of a record:
//   device id (length u8, ASCII) | flags u8 | created u48 | activated u48, if flagged | activation timeout u32
//   | primary slot | secondary slot | retirement, if flagged
// A slot: state u8, then for ARMED set u48, for the others set u48 | first used u48, for those USED | credential id 12
//   | fingerprint (length u8, bytes), if any | id of the CA 32, for those BOUND. USED is SET with a success; BOUND is SET by
//   trust on first use.
// A retirement: slot u8 | moment u8, then for a deadline its time u48.
// The sealed part: the secret (length u8, ASCII) of each slot that is set, primary first.

type AnySlot = EmptySlot | ArmedSlot | SecretSlot | FingerprintSlot;
type OpenSlot = EmptySlot | ArmedSlot | FingerprintSlot | Omit<SecretSlot, 'secret'>;

const FLAG = { CERTIFICATE: 1, HEX: 2, REQUIRE_TRUSTED_CA: 4, FROZEN: 8, ACTIVATED: 16, RETIRES: 32 } as const;
const ALL_FLAGS = 63;
const SLOT = { EMPTY: 0, ARMED: 1, SET: 2, USED: 3, BOUND: 6, BOUND_USED: 7 } as const;
const RETIRES = { PRIMARY: 1, SECONDARY: 2, DEADLINE: 1, ON_OTHER_USED: 2 } as const;
const LENGTH_BYTES = 1;
const CREDENTIAL_ID_BYTES = 12;
const CA_ID_BYTES = 32;
const TIME_BYTES = 6;
const TIMEOUT_BYTES = 4;
const SECRET = /^[\x21-\x7e]{1,32}$/;
const CA_ID = /^[0-9a-f]{64}$/;
const FINGERPRINT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

function flagsOf({ credentials, frozen, activatedAtMs, retirement }: DeviceState): number {
  const certificate = credentials.kind === 'CERTIFICATE';
  return (
    (certificate ? FLAG.CERTIFICATE : 0) |
    (!certificate && credentials.format === 'HEX' ? FLAG.HEX : 0) |
    (certificate && credentials.requireTrustedCa ? FLAG.REQUIRE_TRUSTED_CA : 0) |
    (frozen ? FLAG.FROZEN : 0) |
    (activatedAtMs === undefined ? 0 : FLAG.ACTIVATED) |
    (retirement === undefined ? 0 : FLAG.RETIRES)
  );
}

function packSlot(slot: AnySlot): Buffer {
  if (slot.state === 'EMPTY') return uint(SLOT.EMPTY, 1);
  if (slot.state === 'ARMED') return Buffer.concat([uint(SLOT.ARMED, 1), uint(slot.setAtMs, TIME_BYTES)]);
  const id = Buffer.from(slot.credentialId, 'base64url');
  if (id.length !== CREDENTIAL_ID_BYTES || id.toString('base64url') !== slot.credentialId) {
    throw new LayoutError('a credential id is not 16 characters of base64url');
  }
  const boundBy = 'fingerprint' in slot ? slot.boundBy : undefined;
  const { firstUsedAtMs } = slot;
  const parts =
    firstUsedAtMs === undefined
      ? [uint(boundBy === undefined ? SLOT.SET : SLOT.BOUND, 1), uint(slot.setAtMs, TIME_BYTES), id]
      : [
          ...[uint(boundBy === undefined ? SLOT.USED : SLOT.BOUND_USED, 1), uint(slot.setAtMs, TIME_BYTES)],
          ...[uint(firstUsedAtMs, TIME_BYTES), id],
        ];
  if ('fingerprint' in slot) {
    if (!FINGERPRINT.test(slot.fingerprint))
      throw new LayoutError('a fingerprint is not 40 or 64 lowercase hex digits');
    parts.push(uint(slot.fingerprint.length / 2, 1), Buffer.from(slot.fingerprint, 'hex'));
  }
  if (boundBy !== undefined) {
    if (!CA_ID.test(boundBy)) throw new LayoutError('the id of a CA is not 64 lowercase hex digits');
    parts.push(Buffer.from(boundBy, 'hex'));
  }
  return Buffer.concat(parts);
}

function packRetirement(state: DeviceState): readonly Buffer[] {
  const { retirement } = state;
  if (retirement === undefined) return [];
  const slot = (['PRIMARY', 'SECONDARY'] as const).find(
    (known) => heldIn(state, known)?.credentialId === retirement.credentialId,
  );
  if (slot === undefined) throw new LayoutError('what retires is in no slot');
  if (retirement.when === 'ON_OTHER_USED') return [uint(RETIRES[slot], 1), uint(RETIRES.ON_OTHER_USED, 1)];
  return [uint(RETIRES[slot], 1), uint(RETIRES.DEADLINE, 1), uint(retirement.when.atMs, TIME_BYTES)];
}

/** The open part: all but the secrets. Throws a LayoutError on a state that does not fit. */
export function packOpen(state: DeviceState): Buffer {
  if (parseDeviceId(state.deviceId) === undefined) throw new LayoutError('the device id is none');
  return Buffer.concat([
    text(state.deviceId),
    uint(flagsOf(state), 1),
    uint(state.createdAtMs, TIME_BYTES),
    ...(state.activatedAtMs === undefined ? [] : [uint(state.activatedAtMs, TIME_BYTES)]),
    uint(state.activationTimeoutS, TIMEOUT_BYTES),
    packSlot(state.credentials.primary),
    packSlot(state.credentials.secondary),
    ...packRetirement(state),
  ]);
}

/** The secrets, to be sealed; empty for a certificate device. Throws a LayoutError without the secret in it. */
export function packSecrets({ credentials }: DeviceState): Buffer {
  const parts: Buffer[] = [];
  for (const slot of [credentials.primary, credentials.secondary]) {
    if (!('secret' in slot)) continue;
    const secret = slot.secret.reveal();
    if (!SECRET.test(secret)) throw new LayoutError('a secret is not 1 to 32 visible ASCII characters');
    parts.push(text(secret));
  }
  return Buffer.concat(parts);
}

function takeSlot(cursor: Cursor, certificate: boolean): OpenSlot {
  const state = takeUint(cursor, 1);
  if (state === SLOT.EMPTY) return { state: 'EMPTY' };
  const setAtMs = takeUint(cursor, TIME_BYTES);
  if (state === SLOT.ARMED) return { state: 'ARMED', setAtMs };
  const bound = state === SLOT.BOUND || state === SLOT.BOUND_USED;
  if (state !== SLOT.SET && state !== SLOT.USED && !bound) throw new LayoutError('a slot has an unknown state');
  const used = state === SLOT.USED || state === SLOT.BOUND_USED;
  const firstUsedAtMs = used ? takeUint(cursor, TIME_BYTES) : undefined;
  const credentialId = takeEncoded(cursor, CREDENTIAL_ID_BYTES, 'base64url') as CredentialId;
  if (!certificate && bound) throw new LayoutError('a slot for a secret is bound');
  if (!certificate) return { state: 'SET', credentialId, setAtMs, firstUsedAtMs };
  const fingerprint = takeEncoded(cursor, takeUint(cursor, 1), 'hex');
  if (!FINGERPRINT.test(fingerprint)) throw new LayoutError('a fingerprint has a wrong length');
  const boundBy = bound ? takeEncoded(cursor, CA_ID_BYTES, 'hex') : undefined;
  return { state: 'SET', credentialId, setAtMs, firstUsedAtMs, fingerprint, boundBy };
}

function certificates(primary: OpenSlot, secondary: OpenSlot, requireTrustedCa: boolean): CertificateCredentials {
  if (primary.state === 'SET' && !('fingerprint' in primary)) throw new LayoutError('a fingerprint is missing');
  if (secondary.state === 'ARMED') throw new LayoutError('a secondary slot is armed');
  if (secondary.state === 'SET' && !('fingerprint' in secondary)) throw new LayoutError('a fingerprint is missing');
  return { kind: 'CERTIFICATE', requireTrustedCa, primary, secondary };
}

function withSecret(slot: OpenSlot, sealed: Cursor): EmptySlot | SecretSlot {
  if (slot.state === 'EMPTY') return slot;
  if (slot.state === 'ARMED') throw new LayoutError('a slot for a secret is armed');
  const secret = takeText(sealed);
  if (!SECRET.test(secret)) throw new LayoutError('a secret has a wrong length or form');
  return { ...slot, secret: new Secret(secret) };
}

function secrets(primary: OpenSlot, secondary: OpenSlot, hex: boolean, sealed: Cursor): SecretCredentials {
  const first = withSecret(primary, sealed);
  return { kind: 'SECRET', format: hex ? 'HEX' : 'TEXT', primary: first, secondary: withSecret(secondary, sealed) };
}

function takeRetirement(cursor: Cursor, primary: OpenSlot, secondary: OpenSlot): Retirement {
  const slot = takeUint(cursor, 1);
  if (slot !== RETIRES.PRIMARY && slot !== RETIRES.SECONDARY) throw new LayoutError('an unknown slot retires');
  const content = slot === RETIRES.PRIMARY ? primary : secondary;
  if (content.state !== 'SET') throw new LayoutError('a slot retires that is not set');
  const { credentialId } = content;
  const moment = takeUint(cursor, 1);
  if (moment === RETIRES.ON_OTHER_USED) return { credentialId, when: 'ON_OTHER_USED' };
  if (moment !== RETIRES.DEADLINE) throw new LayoutError('a retirement has an unknown moment');
  return { credentialId, when: { atMs: takeUint(cursor, TIME_BYTES) } };
}

/** The device id that an open part begins with. */
export function packedId(open: Buffer): string {
  return takeText({ bytes: open, at: 0 });
}

/**
 * The state again, from its open part, which is of this device by its `packedId`, and its opened secrets. Throws a
 * LayoutError on anything but what was packed.
 */
export function unpackState(deviceId: DeviceId, open: Buffer, opened: Buffer): DeviceState {
  const cursor = { bytes: open, at: LENGTH_BYTES + deviceId.length };
  const sealed = { bytes: opened, at: 0 };
  const flags = takeUint(cursor, 1);
  const certificate = (flags & FLAG.CERTIFICATE) !== 0;
  const excluded = certificate ? FLAG.HEX : FLAG.REQUIRE_TRUSTED_CA;
  if (flags > ALL_FLAGS || (flags & excluded) !== 0) throw new LayoutError('its flags are unknown');
  const createdAtMs = takeUint(cursor, TIME_BYTES);
  const activatedAtMs = (flags & FLAG.ACTIVATED) === 0 ? undefined : takeUint(cursor, TIME_BYTES);
  const activationTimeoutS = takeUint(cursor, TIMEOUT_BYTES);
  const primary = takeSlot(cursor, certificate);
  const secondary = takeSlot(cursor, certificate);
  const credentials = certificate
    ? certificates(primary, secondary, (flags & FLAG.REQUIRE_TRUSTED_CA) !== 0)
    : secrets(primary, secondary, (flags & FLAG.HEX) !== 0, sealed);
  const retirement = (flags & FLAG.RETIRES) === 0 ? undefined : takeRetirement(cursor, primary, secondary);
  takeEnd(cursor);
  takeEnd(sealed);
  const frozen = (flags & FLAG.FROZEN) !== 0;
  return { deviceId, credentials, frozen, createdAtMs, activatedAtMs, activationTimeoutS, retirement };
}
