import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DeviceRecord } from './device.ts';
import type { Proof, Protocol } from './proof.ts';
import { digest, fingerprints, PRIMARY_ID, plain, record, SECONDARY_ID, secrets } from './test-devices.ts';
import { context, DAY_MS, NOW_MS } from './test-pki.ts';
import { deny } from './verdict.ts';
import { verify } from './verify.ts';
import { verifySecret } from './verify-secret.ts';

const GRANT_PRIMARY = {
  kind: 'GRANT',
  slot: 'PRIMARY',
  credentialId: PRIMARY_ID,
  activate: false,
  firstUse: false,
  caIds: [],
};
const GRANT_SECONDARY = {
  kind: 'GRANT',
  slot: 'SECONDARY',
  credentialId: SECONDARY_ID,
  activate: false,
  firstUse: false,
  caIds: [],
};
const BOTH = record(secrets('primary-1', 'secondary-1'));

/** The same secret, shown in each way there is. */
const ways: [string, (secret: string) => Proof][] = [
  ['a digest, time unchecked', (secret) => digest(secret, '2019010100', 0)],
  ['a digest, time checked', (secret) => digest(secret)],
  ['a digest by SM3', (secret) => digest(secret, '2026112308', 2)],
  ['the plain secret', plain],
];

describe.each(ways)('verify: %s', (_name, show) => {
  it.each<Protocol>(['MQTT', 'HTTPS'])('grants either slot over %s', (protocol) => {
    expect(verify(BOTH, show('primary-1'), context({ protocol }))).toEqual(GRANT_PRIMARY);
    expect(verify(BOTH, show('secondary-1'), context({ protocol }))).toEqual(GRANT_SECONDARY);
    expect(verify(record(secrets(undefined, 'secondary-1')), show('secondary-1'), context({ protocol }))).toEqual(
      GRANT_SECONDARY,
    );
  });

  it('grants the primary when both slots hold the secret', () => {
    expect(verify(record(secrets('same-same', 'same-same')), show('same-same'), context())).toEqual(GRANT_PRIMARY);
  });

  it('accepts only the primary over CoAP', () => {
    const coap = context({ protocol: 'COAP' });
    expect(verify(BOTH, show('primary-1'), coap)).toEqual(GRANT_PRIMARY);
    expect(verify(BOTH, show('secondary-1'), coap)).toEqual(deny('SECONDARY_NOT_ACCEPTED'));
    expect(verify(BOTH, show('neither-1'), coap)).toEqual(deny('SECRET_MISMATCH'));
    expect(verify({ ...BOTH, frozen: true }, show('secondary-1'), coap)).toEqual(deny('SECONDARY_NOT_ACCEPTED'));
    const frozen = record(secrets('same-same', 'same-same'), { frozen: true });
    expect(verify(frozen, show('same-same'), coap)).toEqual(deny('FROZEN'));
  });

  it('says why not', () => {
    expect(verify(BOTH, show('neither-1'), context())).toEqual(deny('SECRET_MISMATCH'));
    expect(verify(undefined, show('primary-1'), context())).toEqual(deny('UNKNOWN_DEVICE'));
    expect(verify(record(fingerprints('a'.repeat(64))), show('primary-1'), context())).toEqual(deny('WRONG_KIND'));
    expect(verify(record(secrets()), show('primary-1'), context())).toEqual(deny('NO_CREDENTIAL'));
  });

  it('lets an EMPTY slot match nothing, the empty secret and the dummy included', () => {
    for (const device of [record(secrets()), record(secrets('')), record(secrets(undefined, ''))]) {
      expect(verify(device, show(''), context())).toEqual(deny('NO_CREDENTIAL'));
      expect(verify(device, show('-'.repeat(32)), context())).toEqual(deny('NO_CREDENTIAL'));
    }
    expect(verify(undefined, show('-'.repeat(32)), context())).toEqual(deny('UNKNOWN_DEVICE'));
    expect(verify(record(secrets('primary-1')), show('-'.repeat(32)), context())).toEqual(deny('SECRET_MISMATCH'));
    expect(verify(record(secrets('primary-1')), show(''), context())).toEqual(deny('SECRET_MISMATCH'));
  });

  it('counts only the slot that CoAP accepts when it says that there is nothing', () => {
    const device = record(secrets(undefined, 'secondary-1'));
    expect(verify(device, show('neither-1'), context({ protocol: 'COAP' }))).toEqual(deny('NO_CREDENTIAL'));
    expect(verify(device, show('neither-1'), context())).toEqual(deny('SECRET_MISMATCH'));
  });

  it('tells only a right proof that the device is frozen or late', () => {
    const late = { activatedAtMs: undefined, createdAtMs: NOW_MS - DAY_MS, activationTimeoutS: 86_400 };
    for (const [change, reason] of [
      [{ frozen: true }, 'FROZEN'],
      [{ ...late, frozen: true }, 'FROZEN'],
      [late, 'ACTIVATION_EXPIRED'],
    ] as const) {
      const device = record(secrets('primary-1', 'secondary-1'), change);
      expect(verify(device, show('primary-1'), context())).toEqual(deny(reason));
      expect(verify(device, show('secondary-1'), context())).toEqual(deny(reason));
      expect(verify(device, show('neither-1'), context())).toEqual(deny('SECRET_MISMATCH'));
    }
  });

  it('activates with the first success, until the timeout has passed', () => {
    const change = { activatedAtMs: undefined, createdAtMs: NOW_MS, activationTimeoutS: 60 };
    const device = record(secrets('primary-1'), change);
    const last = verify(device, show('primary-1'), context({ nowMs: NOW_MS + 59_999 }));
    expect(last).toEqual({ ...GRANT_PRIMARY, activate: true });
    const late = context({ nowMs: NOW_MS + 60_000 });
    expect(verify(device, show('primary-1'), late)).toEqual(deny('ACTIVATION_EXPIRED'));
    const activated = { ...device, activatedAtMs: NOW_MS + 1 };
    expect(verify(activated, show('primary-1'), late)).toEqual(GRANT_PRIMARY);
    expect(verify({ ...device, activationTimeoutS: 0 }, show('primary-1'), late).kind).toBe('GRANT');
  });
});

describe('verify: the time of a digest', () => {
  const stale = '2026112305';

  it.each([1, 2] as const)('sign type %i checks it before the password', (signType) => {
    expect(verify(BOTH, digest('primary-1', stale, signType), context())).toEqual(deny('STALE_TIMESTAMP'));
    expect(verify(BOTH, digest('neither-1', stale, signType), context())).toEqual(deny('STALE_TIMESTAMP'));
    const frozen = { ...BOTH, frozen: true };
    expect(verify(frozen, digest('primary-1', stale, signType), context())).toEqual(deny('STALE_TIMESTAMP'));
    expect(verify(undefined, digest('primary-1', stale, signType), context())).toEqual(deny('UNKNOWN_DEVICE'));
  });

  it.each(['2026130108', '2026023108', '2026112325'])(
    '%s is stale when checked and a plain key when not',
    (timestamp) => {
      expect(verify(BOTH, digest('primary-1', timestamp, 1), context())).toEqual(deny('STALE_TIMESTAMP'));
      expect(verify(BOTH, digest('primary-1', timestamp, 2), context())).toEqual(deny('STALE_TIMESTAMP'));
      expect(verify(BOTH, digest('primary-1', timestamp, 0), context())).toEqual(GRANT_PRIMARY);
    },
  );

  it('takes a Go SDK in Shanghai, which sends local time, by sign type 0 and not by 1', () => {
    expect(verify(BOTH, digest('primary-1', '2026112316', 0), context())).toEqual(GRANT_PRIMARY);
    expect(verify(BOTH, digest('primary-1', '2026112316', 1), context())).toEqual(deny('STALE_TIMESTAMP'));
  });

  it.each([
    ['2026110111', 'e4b16a9961bbd98142cf0b6ac9213e7c29520cf092345c078a091dd3dd523386', Date.UTC(2026, 10, 1, 10, 5)],
    ['2026110324', 'df4ca9ee97baa58c537b845e776175dea86d447730cb1d6ac89022ff1bc5882f', Date.UTC(2026, 10, 3, 23, 5)],
  ])('takes a C SDK that counted on to %s', (timestamp, password, nowMs) => {
    const proof: Proof = { kind: 'DIGEST', signType: 1, timestamp, password };
    expect(verify(record(secrets('12345678')), proof, context({ nowMs }))).toEqual(GRANT_PRIMARY);
  });
});

describe('verifySecret: what a denial costs', () => {
  /** How often the check ran, and how the proof fared. */
  function cost(device: DeviceRecord | undefined, secret: string, protocol: Protocol = 'MQTT') {
    let checks = 0;
    const matches = (candidate: string): boolean => {
      checks++;
      return candidate === secret;
    };
    const { kind } = verifySecret(device, matches, context({ protocol }));
    return { kind, checks };
  }

  it.each<[string, DeviceRecord | undefined, string, Protocol]>([
    ['two wrong slots', BOTH, 'neither-1', 'MQTT'],
    ['one wrong slot', record(secrets('primary-1')), 'neither-1', 'MQTT'],
    ['the other wrong slot', record(secrets(undefined, 'secondary-1')), 'neither-1', 'MQTT'],
    ['EMPTY slots', record(secrets()), 'neither-1', 'MQTT'],
    ['EMPTY slots and the dummy itself', record(secrets()), '-'.repeat(32), 'MQTT'],
    ['an unknown device', undefined, 'neither-1', 'MQTT'],
    ['the wrong kind', record(fingerprints('a'.repeat(64))), 'neither-1', 'MQTT'],
    ['a frozen device, primary right', { ...BOTH, frozen: true }, 'primary-1', 'MQTT'],
    ['a frozen device, secondary right', { ...BOTH, frozen: true }, 'secondary-1', 'MQTT'],
    ['CoAP, secondary right', BOTH, 'secondary-1', 'COAP'],
    ['CoAP, both wrong', BOTH, 'neither-1', 'COAP'],
  ])('two checks for %s', (_name, device, secret, protocol) => {
    expect(cost(device, secret, protocol)).toEqual({ kind: 'DENY', checks: 2 });
  });

  it('one check for a grant on the primary', () => {
    expect(cost(BOTH, 'primary-1')).toEqual({ kind: 'GRANT', checks: 1 });
    expect(cost(BOTH, 'secondary-1')).toEqual({ kind: 'GRANT', checks: 2 });
  });
});

describe('verify: properties of secrets', () => {
  const secret = fc.stringMatching(/^[A-Za-z0-9_-]{8,32}$/);
  const slot = fc.option(secret, { nil: undefined });
  const protocol = fc.constantFrom<Protocol>('MQTT', 'COAP', 'HTTPS');
  const way = fc.constantFrom(...ways.map(([, show]) => show));

  it('grants exactly what a slot holds and the protocol accepts', () => {
    fc.assert(
      fc.property(slot, slot, secret, protocol, way, fc.nat(2), (primary, secondary, other, by, show, pick) => {
        const shown = [primary, secondary, other][pick] ?? other;
        const verdict = verify(record(secrets(primary, secondary)), show(shown), context({ protocol: by }));
        const expected = primary === shown ? 'PRIMARY' : secondary === shown && by !== 'COAP' ? 'SECONDARY' : undefined;
        expect(verdict.kind === 'GRANT' ? verdict.slot : undefined).toBe(expected);
      }),
    );
  });

  it('never throws and never grants to noise', () => {
    const noise = fc.oneof(
      fc.record({
        kind: fc.constant('DIGEST' as const),
        signType: fc.constantFrom(0 as const, 1 as const, 2 as const),
        timestamp: fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[0-9]{10}$/)),
        password: fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[0-9a-f]{64}$/)),
      }),
      fc.string({ unit: 'binary' }).map((text) => plain(`${text}!`)),
    );
    const device = fc.constantFrom(undefined, BOTH, record(secrets()), record(fingerprints('ARMED')));
    fc.assert(
      fc.property(device, noise, protocol, fc.integer(), (target, proof, by, nowMs) => {
        expect(verify(target, proof, context({ protocol: by, nowMs })).kind).toBe('DENY');
      }),
    );
  });
});
