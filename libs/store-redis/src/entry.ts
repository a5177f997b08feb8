import { type CredentialId, parseDeviceId, toRevision } from '@latchkey/kernel';
import { CHANGE_KINDS, type Change, type ChangeKind, type SessionEffect } from '@latchkey/store';

const CLOSES_NONE = '-';
const CLOSES_DEVICE = '*';
const CREDENTIAL_ID = /^[A-Za-z0-9_-]{16}$/;

function effectText(effect: SessionEffect): string {
  if (effect.close === 'CREDENTIAL') return effect.credentialId;
  return effect.close === 'DEVICE' ? CLOSES_DEVICE : CLOSES_NONE;
}

function parseEffect(text: string | undefined): SessionEffect | undefined {
  if (text === CLOSES_NONE) return { close: 'NONE' };
  if (text === CLOSES_DEVICE) return { close: 'DEVICE' };
  if (text === undefined || !CREDENTIAL_ID.test(text)) return undefined;
  return { close: 'CREDENTIAL', credentialId: text as CredentialId };
}

// A newer version may write a kind that this one does not know; what must be dropped and closed is the same.
function parseKind(text: string | undefined): ChangeKind {
  return CHANGE_KINDS.find((kind) => kind === text) ?? 'UPDATED';
}

/** A change as it stands in the log, without its position: `nonce kind effect device`. */
export function entryText(change: Omit<Change, 'position' | 'shard'>): string {
  return `${change.nonce} ${change.kind} ${effectText(change.effect)} ${change.deviceId}`;
}

/** A change from `position nonce kind effect device`, as pushed and as read from the log; undefined when it is none. */
export function parseEntry(text: string, shard: number): Change | undefined {
  const [position = '', nonce = '', kind, effectPart, id = ''] = text.split(' ');
  const deviceId = parseDeviceId(id);
  const effect = parseEffect(effectPart);
  if (!/^[1-9]\d{0,15}$/.test(position) || nonce === '' || deviceId === undefined || effect === undefined) {
    return undefined;
  }
  if (!Number.isSafeInteger(Number(position))) return undefined;
  return { shard, position: toRevision(Number(position)), nonce, deviceId, kind: parseKind(kind), effect };
}
