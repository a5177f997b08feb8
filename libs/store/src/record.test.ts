import type { DeviceState } from '@latchkey/credential';
import { type DeviceId, Secret, systemRandom, toRevision } from '@latchkey/kernel';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { anyRevisions, anyState } from './contract/arbitrary.ts';
import { deviceOf, id, keyringOf, secretSlot, shown } from './contract/fixtures.ts';
import { parseKeyring, SealingError } from './keyring.ts';
import { HEADER_BYTES, packState, RecordError, revisionOf, sealedUnder, unpackRecord, withHeader } from './record.ts';

const KEYRING = keyringOf('k1');
const packed = (state: DeviceState, revision = toRevision(5), closedAt = toRevision(3)) =>
  withHeader(packState(state, KEYRING, systemRandom), revision, closedAt);

function unpackError(bytes: Uint8Array, deviceId: DeviceId): unknown {
  try {
    return unpackRecord(bytes, KEYRING, deviceId);
  } catch (error) {
    return error;
  }
}

const isClear = (error: unknown, deviceId: string) =>
  (error instanceof RecordError || error instanceof SealingError) && error.message.includes(`device ${deviceId}`);

describe('a packed record', () => {
  test('is unpacked to what was packed', () => {
    fc.assert(
      fc.property(anyState, anyRevisions, (state, [revision, sessionsClosedAt]) => {
        const bytes = packed(state, revision, sessionsClosedAt);
        const expected = shown({ ...state, revision, sessionsClosedAt });
        expect(shown(unpackRecord(bytes, KEYRING, state.deviceId))).toEqual(expected);
        expect(revisionOf(bytes, state.deviceId)).toBe(revision);
        expect(sealedUnder(bytes, state.deviceId)).toBe(KEYRING.current.reference);
        expect(bytes.length).toBeLessThanOrEqual(448);
      }),
      { numRuns: 500 },
    );
  });

  test('takes at most 220 bytes with two secrets of 32 characters, for ids up to 50 characters', () => {
    const credentials = {
      kind: 'SECRET',
      format: 'TEXT',
      primary: secretSlot('p'.repeat(32)),
      secondary: secretSlot('s'.repeat(32)),
    } as const;
    const sizeOf = (length: number) =>
      packed(deviceOf(id('d'.repeat(length)), { credentials, activatedAtMs: 1 })).length;
    expect([sizeOf(20), sizeOf(50)]).toEqual([192, 222]);
  });

  test('with any bit of its body turned, or cut anywhere, is an error that names the device', () => {
    fc.assert(
      fc.property(anyState, fc.nat(), fc.nat(), (state, bit, cut) => {
        const bytes = packed(state);
        const at = HEADER_BYTES + ((bit >> 3) % (bytes.length - HEADER_BYTES));
        const turned = bytes.with(at, (bytes[at] ?? 0) ^ (1 << (bit & 7)));
        expect(unpackError(turned, state.deviceId)).toSatisfy((error) => isClear(error, state.deviceId));
        const shorter = bytes.subarray(0, cut % bytes.length);
        expect(unpackError(shorter, state.deviceId)).toSatisfy((error) => isClear(error, state.deviceId));
        const longer = Buffer.concat([bytes, Buffer.alloc(1 + (cut % 600))]);
        expect(unpackError(longer, state.deviceId)).toSatisfy((error) => isClear(error, state.deviceId));
      }),
      { numRuns: 1_000 },
    );
  });

  test('from nowhere is an error that names the device', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        expect(unpackError(bytes, id('d'))).toSatisfy((error) => isClear(error, 'd'));
        const headed = withHeader(bytes, toRevision(2), toRevision(1));
        expect(unpackError(headed, id('d'))).toSatisfy((error) => isClear(error, 'd'));
      }),
      { numRuns: 1_000 },
    );
  });

  test.each([
    ['another format', (bytes: Uint8Array) => bytes.with(0, 2), 'its format is unknown'],
    ['no revision', (bytes: Uint8Array) => bytes.with(8, 0), 'its revisions cannot be'],
    ['sessions closed after it', (bytes: Uint8Array) => bytes.with(16, 6), 'its revisions cannot be'],
    ['a revision of more than 53 bits', (bytes: Uint8Array) => bytes.with(1, 1), 'not a revision'],
  ])('with %s in its header is refused', (_, spoil, message) => {
    const bytes = spoil(packed(deviceOf(id('d'))));
    expect(() => unpackRecord(bytes, KEYRING, id('d'))).toThrow(RecordError);
    expect(() => unpackRecord(bytes, KEYRING, id('d'))).toThrow(message);
  });

  test('of another device is refused', () => {
    const bytes = packed(deviceOf(id('other')));
    expect(() => unpackRecord(bytes, KEYRING, id('d'))).toThrow('it is the record of another device');
  });

  test('with secrets from another record does not open', () => {
    const state = deviceOf(id('d'));
    const [one, two] = [packed(state), packed({ ...state, frozen: true })];
    const sealed = HEADER_BYTES + 1 + (one[HEADER_BYTES] ?? 0);
    const mixed = Buffer.concat([one.subarray(0, sealed), two.subarray(sealed)]);
    expect(() => unpackRecord(mixed, KEYRING, id('d'))).toThrow('was altered, or moved from elsewhere');
  });

  test('names the key it is sealed under', () => {
    const other = parseKeyring(`k2:${Buffer.alloc(32, 7).toString('base64')}`);
    const bytes = withHeader(packState(deviceOf(id('d')), other, systemRandom), toRevision(1), toRevision(0));
    expect(sealedUnder(bytes, id('d'))).toBe(other.current.reference);
    expect(() => sealedUnder(bytes.subarray(0, 30), id('d'))).toThrow(RecordError);
  });
});

describe('packState refuses what it could not give back', () => {
  const bad = (changes: object) => ({ ...deviceOf(id('d')), ...changes }) as DeviceState;
  const withPrimary = (primary: object) => bad({ credentials: { ...deviceOf(id('d')).credentials, primary } });
  const set = secretSlot('x');

  test.each([
    ['a bad device id', bad({ deviceId: 'a b' }), 'the device id is none'],
    ['a time of more than 48 bits', bad({ createdAtMs: 2 ** 48 }), 'no number of 6 bytes'],
    ['a broken time', bad({ activatedAtMs: 0.5 }), 'no number of 6 bytes'],
    ['a timeout of more than 32 bits', bad({ activationTimeoutS: 2 ** 32 }), 'no number of 4 bytes'],
    ['a secret of 33 characters', withPrimary({ ...set, secret: new Secret('canary'.repeat(6)) }), 'a secret is not'],
    ['an empty secret', withPrimary({ ...set, secret: new Secret('') }), 'a secret is not'],
    ['a secret outside ASCII', withPrimary({ ...set, secret: new Secret('canaryé') }), 'a secret is not'],
    ['a short credential id', withPrimary({ ...set, credentialId: 'abc' }), 'a credential id is not'],
    ['an uppercase fingerprint', withPrimary({ ...set, fingerprint: 'AB'.repeat(20) }), 'a fingerprint is not'],
  ])('%s', (_, state, message) => {
    expect(() => packState(state, KEYRING, systemRandom)).toThrow(RecordError);
    expect(() => packState(state, KEYRING, systemRandom)).toThrow(message);
    expect(() => packState(state, KEYRING, systemRandom)).not.toThrow('canary');
  });
});
