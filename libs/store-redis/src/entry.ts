import { parseTrustKey } from '@latchkey/credential';
import { type CredentialId, parseDeviceId, toRevision } from '@latchkey/kernel';
import { CHANGE_KINDS, type Change, type ChangeKind, type SessionEffect } from '@latchkey/store';

const CLOSES = { NONE: '-', DEVICE: '*', CERTIFICATES: '+' } as const;
const CREDENTIAL_ID = /^[A-Za-z0-9_-]{16}$/;

function effectText(effect: SessionEffect): string {
  if (effect.close === 'CREDENTIAL') return effect.credentialId;
  return CLOSES[effect.close];
}

function parseEffect(text: string | undefined): SessionEffect | undefined {
  if (text === CLOSES.NONE) return { close: 'NONE' };
  if (text === CLOSES.DEVICE) return { close: 'DEVICE' };
  if (text === CLOSES.CERTIFICATES) return { close: 'CERTIFICATES' };
  if (text === undefined || !CREDENTIAL_ID.test(text)) return undefined;
  return { close: 'CREDENTIAL', credentialId: text as CredentialId };
}

// A newer version may write a kind that this one does not know; what must be dropped and closed is the same.
function parseKind(text: string | undefined): ChangeKind {
  return CHANGE_KINDS.find((kind) => kind === text) ?? 'UPDATED';
}

/** A change as it stands in the log, without its position: `nonce kind effect key`. */
export function entryText(change: Omit<Change, 'position' | 'shard'>): string {
  return `${change.nonce} ${change.kind} ${effectText(change.effect)} ${change.key}`;
}

/** A change from `position nonce kind effect key`, as pushed and as read from the log; undefined when it is none. */
export function parseEntry(text: string, shard: number): Change | undefined {
  const [position = '', nonce = '', kind, effectPart, keyPart = ''] = text.split(' ');
  const key = parseDeviceId(keyPart) ?? parseTrustKey(keyPart);
  const effect = parseEffect(effectPart);
  if (!/^[1-9]\d{0,15}$/.test(position) || nonce === '' || key === undefined || effect === undefined) {
    return undefined;
  }
  if (!Number.isSafeInteger(Number(position))) return undefined;
  return { shard, position: toRevision(Number(position)), nonce, key, kind: parseKind(kind), effect };
}
