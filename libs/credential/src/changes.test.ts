import { Secret } from '@latchkey/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DeviceRecord, DeviceState, Slot } from './device.ts';
import { createDevice, freeze, type NewDevice, unfreeze, updateSettings } from './lifecycle.ts';
import type { Protocol } from './proof.ts';
import { isRefusal, type Refusal, refuse } from './refusal.ts';
import { bindFingerprint, resetFingerprint, resetSecret } from './reset.ts';
import { promoteSecondary, retire } from './rotation.ts';
import { EMPTY, stateOf } from './state.ts';
import { digest, fingerprints, idOf, plain, record, SECONDARY_ID, secrets } from './test-devices.ts';
import { context, DAY_MS, NOW_MS } from './test-pki.ts';
import { verify } from './verify.ts';

const OLD = 'ab'.repeat(32);
const NEW = 'CD'.repeat(20);
const LATER_MS = NOW_MS + 1;
const NEW_ID = idOf(9);
const NEXT = { credentialId: NEW_ID, secret: new Secret('brand-new'), nowMs: LATER_MS };
const PRESET = { credentialId: NEW_ID, fingerprint: NEW, nowMs: LATER_MS };
const SET = { state: 'SET', credentialId: NEW_ID, setAtMs: LATER_MS };
const BOTH = record(secrets('primary-1', 'secondary-1'));
const PINNED = record(fingerprints(OLD, OLD));

/** The state of a change that must not have been refused. */
function taken(outcome: DeviceState | Refusal): DeviceState {
  if (isRefusal(outcome)) throw new Error(`refused: ${outcome.refused}`);
  return outcome;
}

/** The state with the credentials that are named replaced: all that a change may touch. */
function withSlots(device: DeviceRecord, slots: object): unknown {
  return { ...stateOf(device), credentials: { ...device.credentials, ...slots } };
}

describe('resetSecret', () => {
  it('sets one slot and touches nothing else', () => {
    const set = { ...SET, secret: NEXT.secret };
    expect(resetSecret(BOTH, 'PRIMARY', NEXT)).toEqual(withSlots(BOTH, { primary: set }));
    expect(resetSecret(BOTH, 'SECONDARY', NEXT)).toEqual(withSlots(BOTH, { secondary: set }));
    const stored = taken(resetSecret(BOTH, 'PRIMARY', NEXT));
    expect(verify({ ...BOTH, ...stored }, plain('brand-new'), context())).toMatchObject({ credentialId: NEW_ID });
  });

  it('refuses a certificate device, and what is no secret of its format', () => {
    expect(resetSecret(PINNED, 'PRIMARY', NEXT)).toEqual(refuse('WRONG_KIND'));
    expect(resetSecret(BOTH, 'PRIMARY', { ...NEXT, secret: new Secret('') })).toEqual(refuse('SECRET_LENGTH'));
    const hex = record(secrets('0123abcd', undefined, 'HEX'));
    expect(resetSecret(hex, 'SECONDARY', NEXT)).toEqual(refuse('SECRET_NOT_HEX'));
  });
});

describe('resetFingerprint and bindFingerprint', () => {
  const set = { ...SET, fingerprint: NEW.toLowerCase() };
  const armed = { trustOnFirstUse: true, nowMs: LATER_MS } as const;

  it('sets one slot and touches nothing else', () => {
    expect(resetFingerprint(PINNED, 'PRIMARY', PRESET)).toEqual(withSlots(PINNED, { primary: set }));
    expect(resetFingerprint(PINNED, 'SECONDARY', PRESET)).toEqual(withSlots(PINNED, { secondary: set }));
  });

  it('arms the primary only', () => {
    const primary = { state: 'ARMED', setAtMs: LATER_MS };
    expect(resetFingerprint(PINNED, 'PRIMARY', armed)).toEqual(withSlots(PINNED, { primary }));
    expect(resetFingerprint(PINNED, 'SECONDARY', armed)).toEqual(refuse('SECONDARY_CANNOT_ARM'));
  });

  it('refuses a secret device, and what is no fingerprint', () => {
    expect(resetFingerprint(BOTH, 'PRIMARY', PRESET)).toEqual(refuse('WRONG_KIND'));
    expect(resetFingerprint(BOTH, 'SECONDARY', armed)).toEqual(refuse('WRONG_KIND'));
    expect(resetFingerprint(PINNED, 'PRIMARY', { ...PRESET, fingerprint: '' })).toEqual(refuse('FINGERPRINT_FORMAT'));
  });

  it('binds an ARMED primary only', () => {
    const device = record(fingerprints('ARMED', OLD));
    const bound = { ...PRESET, boundBy: OLD };
    expect(bindFingerprint(device, bound)).toEqual(withSlots(device, { primary: { ...set, boundBy: OLD } }));
    expect(bindFingerprint(device, { ...bound, fingerprint: '' })).toEqual(refuse('FINGERPRINT_FORMAT'));
    expect(bindFingerprint(PINNED, bound)).toEqual(refuse('NOT_ARMED'));
    expect(bindFingerprint(record(fingerprints(undefined, OLD)), bound)).toEqual(refuse('NOT_ARMED'));
    expect(bindFingerprint(BOTH, bound)).toEqual(refuse('WRONG_KIND'));
  });
});

describe('retire', () => {
  it.each<[string, DeviceRecord]>([
    ['a secret device', BOTH],
    ['a certificate device', PINNED],
    ['an ARMED device', record(fingerprints('ARMED', OLD))],
  ])('empties one slot of %s and never arms', (_name, device) => {
    expect(retire(device, 'PRIMARY')).toEqual(withSlots(device, { primary: EMPTY }));
    expect(retire(device, 'SECONDARY')).toEqual(withSlots(device, { secondary: EMPTY }));
  });

  it('gives the same object back when the slot is EMPTY', () => {
    const device = record(secrets());
    expect(retire(device, 'PRIMARY')).toBe(device);
    expect(retire(device, 'SECONDARY')).toBe(device);
  });
});

describe('promoteSecondary', () => {
  it.each([
    ['secrets', BOTH],
    ['fingerprints', record(fingerprints(OLD, NEW.toLowerCase()))],
  ])('makes two %s change places, ids with them; twice is as before', (_name, device) => {
    const { primary, secondary } = device.credentials;
    const once = taken(promoteSecondary(device));
    expect(once).toEqual(withSlots(device, { primary: secondary, secondary: primary }));
    expect(once.credentials.primary).toMatchObject({ credentialId: SECONDARY_ID });
    expect(promoteSecondary(once)).toEqual(stateOf(device));
  });

  it('moves the only credential', () => {
    const device = record(secrets(undefined, 'secondary-1'));
    const once = taken(promoteSecondary(device));
    expect(once.credentials).toMatchObject({ primary: { credentialId: SECONDARY_ID }, secondary: EMPTY });
    expect(promoteSecondary(once)).toEqual(refuse('SECONDARY_EMPTY'));
  });

  it('refuses an EMPTY secondary and an ARMED primary', () => {
    expect(promoteSecondary(record(secrets('primary-1')))).toEqual(refuse('SECONDARY_EMPTY'));
    expect(promoteSecondary(record(fingerprints('ARMED')))).toEqual(refuse('SECONDARY_EMPTY'));
    expect(promoteSecondary(record(fingerprints('ARMED', OLD)))).toEqual(refuse('SECONDARY_CANNOT_ARM'));
  });
});

describe('createDevice', () => {
  const { deviceId } = BOTH;
  const { credentialId, secret } = NEXT;
  const head = { deviceId, nowMs: LATER_MS, activationTimeoutS: 60 };
  const fresh = { deviceId, frozen: false, createdAtMs: LATER_MS, activatedAtMs: undefined, activationTimeoutS: 60 };
  const byCertificate = (primary: Extract<NewDevice['credential'], { kind: 'CERTIFICATE' }>['primary']): NewDevice => ({
    ...head,
    credential: { kind: 'CERTIFICATE', requireTrustedCa: true, primary },
  });
  const bySecret: NewDevice = {
    ...head,
    credential: { kind: 'SECRET', format: 'TEXT', primary: { credentialId, secret } },
  };

  it('makes a device by secret, by fingerprint, or ARMED; the secondary is EMPTY', () => {
    expect(createDevice(bySecret)).toEqual({
      ...fresh,
      credentials: { kind: 'SECRET', format: 'TEXT', primary: { ...SET, secret }, secondary: EMPTY },
    });
    const common = { kind: 'CERTIFICATE', requireTrustedCa: true, secondary: EMPTY };
    expect(createDevice(byCertificate({ credentialId, fingerprint: NEW }))).toEqual({
      ...fresh,
      credentials: { ...common, primary: { ...SET, fingerprint: NEW.toLowerCase() } },
    });
    expect(createDevice(byCertificate({ trustOnFirstUse: true }))).toEqual({
      ...fresh,
      credentials: { ...common, primary: { state: 'ARMED', setAtMs: LATER_MS } },
    });
  });

  it('refuses what is no secret, fingerprint or timeout', () => {
    const short = { ...bySecret.credential, primary: { credentialId, secret: new Secret('short') } };
    expect(createDevice({ ...bySecret, credential: short as NewDevice['credential'] })).toEqual(
      refuse('SECRET_LENGTH'),
    );
    expect(createDevice(byCertificate({ credentialId, fingerprint: 'ab' }))).toEqual(refuse('FINGERPRINT_FORMAT'));
    for (const activationTimeoutS of [-1, 0.5, Number.NaN, 2_147_483_648]) {
      expect(createDevice({ ...bySecret, activationTimeoutS })).toEqual(refuse('TIMEOUT_RANGE'));
    }
  });
});

describe('freeze, unfreeze, updateSettings', () => {
  it('freezes and lets in again', () => {
    const frozen = freeze(BOTH);
    expect(frozen).toEqual({ ...stateOf(BOTH), frozen: true });
    expect(freeze(frozen)).toBe(frozen);
    expect(unfreeze(frozen)).toEqual(stateOf(BOTH));
    expect(unfreeze(BOTH)).toBe(BOTH);
  });

  it('changes the settings that are named', () => {
    expect(updateSettings(PINNED, {})).toEqual(stateOf(PINNED));
    expect(updateSettings(PINNED, { requireTrustedCa: true })).toEqual(withSlots(PINNED, { requireTrustedCa: true }));
    expect(updateSettings(BOTH, { activationTimeoutS: 5 })).toEqual({ ...stateOf(BOTH), activationTimeoutS: 5 });
    expect(updateSettings(BOTH, { requireTrustedCa: false })).toEqual(refuse('WRONG_KIND'));
    expect(updateSettings(BOTH, { activationTimeoutS: -1 })).toEqual(refuse('TIMEOUT_RANGE'));
  });
});

describe('properties of changes', () => {
  const secret = fc.stringMatching(/^[A-Za-z0-9_-]{8,32}$/);
  const maybe = fc.option(secret, { nil: undefined });
  const slot = fc.constantFrom<Slot>('PRIMARY', 'SECONDARY');
  const protocol = fc.constantFrom<Protocol>('MQTT', 'COAP', 'HTTPS');

  it('after a reset the old secret is granted only where the other slot holds it, the new one always', () => {
    fc.assert(
      fc.property(maybe, maybe, secret, slot, protocol, (primary, secondary, text, which, by) => {
        const before = record(secrets(primary, secondary));
        const next = { ...NEXT, secret: new Secret(text) };
        const after = { ...before, ...taken(resetSecret(before, which, next)) };
        const [old, other] = which === 'PRIMARY' ? [primary, secondary] : [secondary, primary];
        const judge = context({ protocol: by });
        const stillHeld = old === text || old === other;
        const oldVerdict = old === undefined ? undefined : verify(after, digest(old), judge).kind;
        expect(oldVerdict === 'GRANT' && !stillHeld).toBe(false);
        const mayEnter = which === 'PRIMARY' || by !== 'COAP' || other === text;
        expect(verify(after, digest(text), judge).kind).toBe(mayEnter ? 'GRANT' : 'DENY');
      }),
    );
  });

  it('after a retirement the slot grants nothing', () => {
    fc.assert(
      fc.property(maybe, maybe, slot, (primary, secondary, which) => {
        const before = record(secrets(primary, secondary));
        const after = { ...before, ...retire(before, which) };
        const other = which === 'PRIMARY' ? secondary : primary;
        for (const shown of [primary, secondary, '']) {
          const verdict = verify(after, plain(shown ?? ''), context());
          expect(verdict.kind === 'GRANT').toBe(shown !== undefined && shown === other);
        }
      }),
    );
  });

  it('a frozen device is never let in, and no change but unfreeze lets it in', () => {
    fc.assert(
      fc.property(secret, secret, protocol, (primary, secondary, by) => {
        const frozen = freeze(record(secrets(primary, secondary)));
        const states = [frozen, retire(frozen, 'PRIMARY'), taken(promoteSecondary(frozen))];
        for (const state of states) {
          for (const shown of [primary, secondary]) {
            expect(verify({ ...BOTH, ...state }, plain(shown), context({ protocol: by })).kind).toBe('DENY');
          }
        }
      }),
    );
  });

  it('answers a bare state, without the numbers of the record it was given', () => {
    const states = [
      freeze(BOTH),
      retire(BOTH, 'PRIMARY'),
      taken(resetSecret(BOTH, 'PRIMARY', NEXT)),
      taken(updateSettings(BOTH, {})),
    ];
    const fields = [
      'activatedAtMs',
      'activationTimeoutS',
      'createdAtMs',
      'credentials',
      'deviceId',
      'frozen',
      'retirement',
    ];
    expect(states.map((state) => Object.keys(state).sort())).toEqual(states.map(() => fields));
  });

  it('leaves the given device as it was', () => {
    const device = record(secrets('primary-1', 'secondary-1'), { createdAtMs: NOW_MS - DAY_MS });
    const copy = structuredClone({ ...device, credentials: undefined });
    const credentials = { ...device.credentials };
    taken(resetSecret(device, 'PRIMARY', NEXT));
    taken(promoteSecondary(device));
    freeze(retire(device, 'SECONDARY'));
    expect({ ...device, credentials: undefined }).toEqual(copy);
    expect(device.credentials).toEqual(credentials);
  });
});
