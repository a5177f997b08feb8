import { createSecretKey } from 'node:crypto';
import { Secret, toRevision } from '@latchkey/kernel';
import { describe, expect, it } from 'vitest';
import type { DenyReason } from './decision.ts';
import type { DeviceRecord } from './device.ts';
import { fingerprints, idOf, PRIMARY_ID, record, SECONDARY_ID, secrets } from './test-devices.ts';
import { context as contextOf, DAY_MS, NOW_MS } from './test-pki.ts';
import { makeToken, type TokenClaims, type TokenKeys } from './token.ts';
import { deny, type VerifyContext } from './verdict.ts';
import { verify } from './verify.ts';

const KEYS: TokenKeys = {
  current: '00000001',
  byReference: new Map([['00000001', createSecretKey(Buffer.alloc(32, 1))]]),
};
const END_MS = NOW_MS + DAY_MS;
const BOTH = record(secrets('primary-1', 'secondary-1'));

const context = (change: Partial<VerifyContext> = {}) => contextOf({ protocol: 'HTTPS', tokenKeys: KEYS, ...change });
const token = (change: Partial<TokenClaims> = {}, deviceId = 'P1_n1') => {
  const claims = { credentialId: PRIMARY_ID, sessionsClosedAt: toRevision(3), expiresAtMs: END_MS, ...change };
  return { kind: 'TOKEN' as const, token: new Secret(makeToken(deviceId, claims, KEYS)) };
};

describe('verify: an access token', () => {
  it('grants on the slot that holds its credential, until it ends', () => {
    const grant = { kind: 'GRANT', activate: false, firstUse: false, expiresAtMs: END_MS, caIds: [] };
    expect(verify(BOTH, token(), context())).toEqual({ ...grant, slot: 'PRIMARY', credentialId: PRIMARY_ID });
    const second = { ...grant, slot: 'SECONDARY', credentialId: SECONDARY_ID };
    expect(verify(BOTH, token({ credentialId: SECONDARY_ID }), context())).toEqual(second);
  });

  it('follows its credential into the other slot', () => {
    const { credentials } = BOTH;
    if (credentials.kind !== 'SECRET') throw new Error('it has secrets');
    const promoted = {
      ...BOTH,
      credentials: { ...credentials, primary: credentials.secondary, secondary: credentials.primary },
    };
    expect(verify(promoted, token(), context())).toMatchObject({ kind: 'GRANT', slot: 'SECONDARY' });
  });

  const deaths: [string, DeviceRecord | undefined, ReturnType<typeof token>, Partial<VerifyContext>, DenyReason][] = [
    ['the device is not there', undefined, token(), {}, 'UNKNOWN_DEVICE'],
    ['it is of another device', BOTH, token({}, 'P1_n2'), {}, 'TOKEN_INVALID'],
    ['it is garbage', BOTH, { kind: 'TOKEN', token: new Secret('garbage') }, {}, 'TOKEN_INVALID'],
    ['there are no keys', BOTH, token(), { tokenKeys: undefined }, 'TOKEN_INVALID'],
    ['it ends at this instant', BOTH, token({ expiresAtMs: NOW_MS }), {}, 'TOKEN_EXPIRED'],
    [
      'it has ended, of a frozen device',
      record(secrets('a'), { frozen: true }),
      token({ expiresAtMs: 1 }),
      {},
      'TOKEN_EXPIRED',
    ],
    ['no slot holds its credential', BOTH, token({ credentialId: idOf(3) }), {}, 'TOKEN_REVOKED'],
    ['the slots are empty', record(secrets()), token(), {}, 'TOKEN_REVOKED'],
    ['the primary is armed', record(fingerprints('ARMED')), token(), {}, 'TOKEN_REVOKED'],
    ['the sessions were closed', { ...BOTH, sessionsClosedAt: toRevision(7) }, token(), {}, 'TOKEN_REVOKED'],
    ['it is of a history that was lost', BOTH, token({ sessionsClosedAt: toRevision(6) }), {}, 'TOKEN_REVOKED'],
    ['the device is frozen', { ...BOTH, frozen: true, sessionsClosedAt: toRevision(7) }, token(), {}, 'FROZEN'],
    [
      'only the primary counts',
      BOTH,
      token({ credentialId: SECONDARY_ID }),
      { protocol: 'COAP' },
      'SECONDARY_NOT_ACCEPTED',
    ],
  ];
  it.each(deaths)('denies when %s', (_name, device, proof, change, reason) => {
    expect(verify(device, proof, context(change))).toEqual(deny(reason));
  });

  it('ends with a retirement of its credential', () => {
    const retiring = (atMs: number) => ({ ...BOTH, retirement: { credentialId: PRIMARY_ID, when: { atMs } } });
    expect(verify(retiring(NOW_MS + 1_000), token(), context())).toMatchObject({ expiresAtMs: NOW_MS + 1_000 });
    expect(verify(retiring(END_MS + 1_000), token(), context())).toMatchObject({ expiresAtMs: END_MS });
    expect(verify(retiring(NOW_MS), token(), context())).toEqual(deny('TOKEN_REVOKED'));
  });

  it('counts as a success with its credential: the other one retires if it waited for that', () => {
    const waiting = { ...BOTH, retirement: { credentialId: SECONDARY_ID, when: 'ON_OTHER_USED' as const } };
    expect(verify(waiting, token(), context())).toMatchObject({ kind: 'GRANT', retires: SECONDARY_ID });
    const closed = { ...waiting, sessionsClosedAt: toRevision(7) };
    expect(verify(closed, token(), context())).toEqual(deny('TOKEN_REVOKED'));
  });
});
