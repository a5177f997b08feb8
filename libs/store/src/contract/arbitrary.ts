import { type CertificateCredentials, type DeviceState, heldIn, type SecretCredentials } from '@latchkey/credential';
import { Secret, toCredentialId, toRevision } from '@latchkey/kernel';
import fc from 'fast-check';
import { id } from './fixtures.ts';

const ALPHABET = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-'];

const text = (maxLength: number) =>
  fc.array(fc.constantFrom(...ALPHABET), { minLength: 1, maxLength }).map((letters) => letters.join(''));
const timeMs = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const empty = fc.constant({ state: 'EMPTY' } as const);
const slot = {
  state: fc.constant('SET' as const),
  credentialId: fc.uint8Array({ minLength: 12, maxLength: 12 }).map(toCredentialId),
  setAtMs: timeMs,
  firstUsedAtMs: fc.option(timeMs, { nil: undefined }),
};
const secret = fc.oneof(empty, fc.record({ ...slot, secret: text(32).map((value) => new Secret(value)) }));
const hex = (size: number) =>
  fc.uint8Array({ minLength: size, maxLength: size }).map((bytes) => Buffer.from(bytes).toString('hex'));
const print = fc.oneof(
  empty,
  fc.record({ ...slot, fingerprint: fc.oneof(hex(20), hex(32)), boundBy: fc.option(hex(32), { nil: undefined }) }),
);
const armed = fc.record({ state: fc.constant('ARMED' as const), setAtMs: timeMs });
const secrets: fc.Arbitrary<SecretCredentials> = fc.record({
  kind: fc.constant('SECRET' as const),
  format: fc.constantFrom('TEXT' as const, 'HEX' as const),
  primary: secret,
  secondary: secret,
});
const certificates: fc.Arbitrary<CertificateCredentials> = fc.record({
  kind: fc.constant('CERTIFICATE' as const),
  requireTrustedCa: fc.boolean(),
  primary: fc.oneof(print, armed),
  secondary: print,
});
const settledState: fc.Arbitrary<DeviceState> = fc.record({
  deviceId: text(128).map(id),
  credentials: fc.oneof(secrets, certificates),
  frozen: fc.boolean(),
  createdAtMs: timeMs,
  activatedAtMs: fc.option(timeMs, { nil: undefined }),
  activationTimeoutS: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  retirement: fc.constant(undefined),
});
const moment = fc.oneof(
  fc.constant('ON_OTHER_USED' as const),
  timeMs.map((atMs) => ({ atMs })),
);
/** Any state that a record can hold. */
export const anyState = fc
  .tuple(settledState, fc.constantFrom('PRIMARY' as const, 'SECONDARY' as const), fc.option(moment))
  .map(([state, which, when]): DeviceState => {
    const held = heldIn(state, which);
    if (held === undefined || when === null) return state;
    return { ...state, retirement: { credentialId: held.credentialId, when } };
  });
/** A record's revision, and the one that closed its sessions. */
export const anyRevisions = fc
  .tuple(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), fc.nat())
  .map(([revision, back]) => [toRevision(revision), toRevision(Math.max(0, revision - back))] as const);
