import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { caIdOf } from './authority.ts';
import { fingerprintsOf } from './certificate.ts';
import type { CertificateProof, FingerprintProof, Protocol } from './proof.ts';
import { digest, fingerprints, PRIMARY_ID, plain, record, SECONDARY_ID, secrets } from './test-devices.ts';
import { context, DAY_MS, type Identity, issue, NOW_MS, trusting } from './test-pki.ts';
import { DEFAULT_SETTINGS, deny } from './verdict.ts';
import { verify } from './verify.ts';

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
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
const DEMANDING = { ...DEFAULT_SETTINGS, requireTrustedCa: true };
const OTHER = 'ab'.repeat(32);

let root: Identity;
let middle: Identity;
let own: Identity;
let issued: Identity;
let expired: Identity;
let server: Identity;

beforeAll(async () => {
  root = await issue('root', { ca: true });
  middle = await issue('middle', { ca: true, issuer: root });
  own = await issue('self-signed');
  issued = await issue('issued', { issuer: middle });
  expired = await issue('expired', { issuer: middle, notAfterMs: NOW_MS - 1000 });
  server = await issue('server', { issuer: middle, usages: [SERVER_AUTH] });
});

function chain(...identities: readonly Identity[]): CertificateProof {
  return { kind: 'CERTIFICATE', chain: identities.map(({ der }) => der) };
}

function bare(fingerprint: string): FingerprintProof {
  return { kind: 'FINGERPRINT', fingerprint };
}

const sha256 = ({ der }: Identity) => fingerprintsOf(der).sha256;
const sha1 = ({ der }: Identity) => fingerprintsOf(der).sha1;

describe('verify: a certificate with a preset fingerprint', () => {
  it.each<Protocol>(['MQTT', 'HTTPS'])('is granted by either slot and either hash over %s', (protocol) => {
    for (const hash of [sha1(own), sha256(own)]) {
      expect(verify(record(fingerprints(hash, OTHER)), chain(own), context({ protocol }))).toEqual(GRANT_PRIMARY);
      expect(verify(record(fingerprints(OTHER, hash)), chain(own), context({ protocol }))).toEqual(GRANT_SECONDARY);
      expect(verify(record(fingerprints(hash)), bare(hash.toUpperCase()), context({ protocol }))).toEqual(
        GRANT_PRIMARY,
      );
      expect(verify(record(fingerprints(undefined, hash)), bare(hash), context({ protocol }))).toEqual(GRANT_SECONDARY);
    }
  });

  it('is granted by the primary when both slots hold it', () => {
    expect(verify(record(fingerprints(sha1(own), sha256(own))), chain(own), context())).toEqual(GRANT_PRIMARY);
  });

  it('is accepted only by the primary over CoAP', () => {
    const coap = context({ protocol: 'COAP' });
    expect(verify(record(fingerprints(sha256(own))), chain(own), coap)).toEqual(GRANT_PRIMARY);
    for (const primary of [OTHER, 'ARMED', undefined]) {
      const device = record(fingerprints(primary, sha256(own)));
      expect(verify(device, chain(own), coap)).toEqual(deny('SECONDARY_NOT_ACCEPTED'));
      expect(verify(device, bare(sha256(own)), coap)).toEqual(deny('SECONDARY_NOT_ACCEPTED'));
    }
    expect(verify(record(fingerprints(undefined, OTHER)), chain(own), coap)).toEqual(deny('NO_CREDENTIAL'));
    expect(verify(record(fingerprints(OTHER, OTHER)), chain(own), coap)).toEqual(deny('FINGERPRINT_MISMATCH'));
  });

  it('says why not', () => {
    const device = record(fingerprints(OTHER, OTHER));
    expect(verify(device, chain(own), context())).toEqual(deny('FINGERPRINT_MISMATCH'));
    expect(verify(device, bare(sha256(own)), context())).toEqual(deny('FINGERPRINT_MISMATCH'));
    expect(verify(record(fingerprints()), chain(own), context())).toEqual(deny('NO_CREDENTIAL'));
    expect(verify(undefined, chain(own), context())).toEqual(deny('UNKNOWN_DEVICE'));
    expect(verify(undefined, bare(OTHER), context())).toEqual(deny('UNKNOWN_DEVICE'));
    expect(verify(record(secrets('primary-1')), chain(own), context())).toEqual(deny('WRONG_KIND'));
    expect(verify(record(fingerprints(sha256(own))), plain('primary-1'), context())).toEqual(deny('WRONG_KIND'));
    expect(verify(record(fingerprints(sha256(own))), digest('primary-1'), context())).toEqual(deny('WRONG_KIND'));
  });

  it('does not compare a bare fingerprint with one of another length', () => {
    expect(verify(record(fingerprints(sha1(own))), bare(sha256(own)), context())).toEqual(deny('FINGERPRINT_MISMATCH'));
    expect(verify(record(fingerprints(sha256(own))), bare(sha1(own)), context())).toEqual(deny('FINGERPRINT_MISMATCH'));
  });

  it('counts by its leaf alone', () => {
    const device = record(fingerprints(sha256(middle)));
    expect(verify(device, chain(own, middle), context())).toEqual(deny('FINGERPRINT_MISMATCH'));
  });

  it('cannot be read, or is not fit for a client', () => {
    const device = record(fingerprints(sha256(server), sha256(own)));
    const broken: CertificateProof[] = [
      { kind: 'CERTIFICATE', chain: [] },
      { kind: 'CERTIFICATE', chain: [Buffer.from('no certificate')] },
      { kind: 'CERTIFICATE', chain: [Buffer.from(own.certificate.toString())] },
      { kind: 'CERTIFICATE', chain: Array<Uint8Array>(9).fill(own.der) },
    ];
    for (const proof of broken) {
      expect(verify(device, proof, context())).toEqual(deny('CERTIFICATE_INVALID'));
      expect(verify(undefined, proof, context())).toEqual(deny('UNKNOWN_DEVICE'));
      expect(verify(record(secrets()), proof, context())).toEqual(deny('WRONG_KIND'));
    }
    expect(verify(device, chain(server), context())).toEqual(deny('CERTIFICATE_INVALID'));
    expect(verify(device, bare('abc'), context())).toEqual(deny('CERTIFICATE_INVALID'));
    expect(verify(device, { kind: 'CERTIFICATE', chain: Array<Uint8Array>(8).fill(own.der) }, context()).kind).toBe(
      'GRANT',
    );
  });

  it('has expired, or is not valid yet', () => {
    const device = record(fingerprints(sha256(expired), sha256(own)), { frozen: true });
    expect(verify(device, chain(expired), context())).toEqual(deny('CERTIFICATE_EXPIRED'));
    const early = context({ nowMs: NOW_MS - 2 * DAY_MS });
    expect(verify(device, chain(own), early)).toEqual(deny('CERTIFICATE_EXPIRED'));
  });

  it('hears of a frozen or late device only when it is right', () => {
    const late = { activatedAtMs: undefined, createdAtMs: NOW_MS - 60_000, activationTimeoutS: 60 };
    const frozen = record(fingerprints(sha256(own)), { ...late, frozen: true });
    expect(verify(frozen, chain(own), context())).toEqual(deny('FROZEN'));
    expect(verify(frozen, chain(issued), context())).toEqual(deny('FINGERPRINT_MISMATCH'));
    const overdue = record(fingerprints(sha256(own)), late);
    expect(verify(overdue, chain(own), context())).toEqual(deny('ACTIVATION_EXPIRED'));
    expect(verify(overdue, chain(issued), context())).toEqual(deny('FINGERPRINT_MISMATCH'));
  });
});

describe('verify: a trusted CA is demanded', () => {
  const byAll = () => context({ settings: DEMANDING, trustedCas: trusting(root) });
  const byDevice = () => context({ trustedCas: trusting(root) });

  it('takes a chain to it, by the setting or by the device', () => {
    const byRoot = { ...GRANT_PRIMARY, caIds: [caIdOf(root.certificate)] };
    const device = record(fingerprints(sha256(issued)));
    expect(verify(device, chain(issued, middle), byAll())).toEqual(byRoot);
    const strict = record(fingerprints(sha256(issued), undefined, true));
    expect(verify(strict, chain(issued, middle), byDevice())).toEqual(byRoot);
    const noise = { ...chain(issued), chain: [issued.der, Buffer.from('noise'), middle.der] };
    expect(verify(strict, noise, byDevice())).toEqual(byRoot);
  });

  it.each([
    ['the setting', false, byAll],
    ['the device', true, byDevice],
  ])('refuses anything else, by %s', (_name, ofDevice, judge) => {
    const selfSigned = record(fingerprints(sha256(own), undefined, ofDevice));
    expect(verify(selfSigned, chain(own), judge())).toEqual(deny('CERTIFICATE_UNTRUSTED'));
    const device = record(fingerprints(OTHER, sha256(issued), ofDevice));
    expect(verify(device, chain(issued), judge())).toEqual(deny('CERTIFICATE_UNTRUSTED'));
    expect(verify(device, bare(sha256(issued)), judge())).toEqual(deny('CERTIFICATE_UNTRUSTED'));
    expect(verify(device, bare('cd'.repeat(32)), judge())).toEqual(deny('FINGERPRINT_MISMATCH'));
    const without = { ...judge(), trustedCas: new Map() };
    expect(verify(device, chain(issued, middle, root), without)).toEqual(deny('CERTIFICATE_UNTRUSTED'));
  });
});

describe('verify: a certificate that is disabled', () => {
  it('is refused in any slot, with a chain or without, and binds nothing', () => {
    const judge = context({ disabled: true, trustedCas: trusting(root) });
    const devices = [fingerprints(sha256(issued)), fingerprints(OTHER, sha1(issued)), fingerprints('ARMED')];
    for (const credentials of devices) {
      expect(verify(record(credentials), chain(issued, middle), judge)).toEqual(deny('CERTIFICATE_DISABLED'));
      expect(verify(record(credentials), bare(sha256(issued)), judge)).toEqual(deny('CERTIFICATE_DISABLED'));
    }
    expect(verify(undefined, chain(issued), judge)).toEqual(deny('UNKNOWN_DEVICE'));
    expect(verify(record(secrets('primary-1')), chain(issued), judge)).toEqual(deny('WRONG_KIND'));
    expect(verify(record(secrets('primary-1')), plain('primary-1'), judge).kind).toBe('GRANT');
  });
});

describe('verify: a certificate that trust on first use took', () => {
  const boundBy = (ca: Identity, requireTrustedCa = false) => {
    const credentials = fingerprints(sha256(issued), undefined, requireTrustedCa);
    const { primary } = credentials;
    if (primary.state !== 'SET') throw new Error('the primary is set');
    return record({ ...credentials, primary: { ...primary, boundBy: caIdOf(ca.certificate) } });
  };

  it('is granted as long as its CA is trusted, without a chain and after the end of the CA', () => {
    const grant = { ...GRANT_PRIMARY, caIds: [caIdOf(root.certificate)] };
    const trusted = context({ trustedCas: trusting(root) });
    expect(verify(boundBy(root), chain(issued), trusted)).toEqual(grant);
    expect(verify(boundBy(root), bare(sha256(issued)), trusted)).toEqual(grant);
    const old = trusting({ ...root, certificate: expired.certificate });
    const expiredCa = new Map([...old.values()].map((certificate) => [caIdOf(root.certificate), certificate]));
    expect(verify(boundBy(root), chain(issued), context({ trustedCas: expiredCa }))).toEqual(grant);
  });

  it('is refused without that CA, whatever other one is trusted', () => {
    for (const trustedCas of [trusting(), trusting(middle)]) {
      const judge = context({ trustedCas });
      expect(verify(boundBy(root), chain(issued, middle), judge)).toEqual(deny('CERTIFICATE_UNTRUSTED'));
      expect(verify(boundBy(root), bare(sha256(issued)), judge)).toEqual(deny('CERTIFICATE_UNTRUSTED'));
    }
  });

  it('rests on both CAs when another one is demanded as well', () => {
    const judge = context({ trustedCas: trusting(root, middle) });
    const caIds = [middle, root].map(({ certificate }) => caIdOf(certificate));
    expect(verify(boundBy(root, true), chain(issued), judge)).toEqual({ ...GRANT_PRIMARY, caIds });
    const one = context({ trustedCas: trusting(middle) });
    expect(verify(boundBy(middle, true), chain(issued), one)).toMatchObject({ caIds: caIds.slice(0, 1) });
    expect(verify(boundBy(root, true), chain(issued), one)).toEqual(deny('CERTIFICATE_UNTRUSTED'));
  });
});

describe('verify: an ARMED primary', () => {
  const trusted = (protocol: Protocol = 'MQTT') => context({ protocol, trustedCas: trusting(root) });

  it.each<Protocol>(['MQTT', 'COAP', 'HTTPS'])(
    'binds a certificate that chains to a trusted CA over %s',
    (protocol) => {
      const verdict = { kind: 'BIND', fingerprint: sha256(issued), caId: caIdOf(root.certificate), activate: false };
      expect(verify(record(fingerprints('ARMED')), chain(issued, middle), trusted(protocol))).toEqual(verdict);
      const fresh = record(fingerprints('ARMED', OTHER), { activatedAtMs: undefined });
      expect(verify(fresh, chain(issued, middle), trusted(protocol))).toEqual({ ...verdict, activate: true });
    },
  );

  it('lets a SET secondary have its certificate first', () => {
    const device = record(fingerprints('ARMED', sha256(issued)));
    expect(verify(device, chain(issued, middle), trusted())).toEqual(GRANT_SECONDARY);
    expect(verify(device, bare(sha256(issued)), trusted())).toEqual(GRANT_SECONDARY);
  });

  it('binds nothing less', () => {
    const device = record(fingerprints('ARMED'));
    expect(verify(device, chain(own), trusted())).toEqual(deny('CERTIFICATE_UNTRUSTED'));
    expect(verify(device, chain(issued), trusted())).toEqual(deny('CERTIFICATE_UNTRUSTED'));
    expect(verify(device, chain(issued, middle), context())).toEqual(deny('CERTIFICATE_UNTRUSTED'));
    expect(verify(device, bare(sha256(issued)), trusted())).toEqual(deny('CERTIFICATE_UNTRUSTED'));
    expect(verify(device, chain(expired, middle), trusted())).toEqual(deny('CERTIFICATE_EXPIRED'));
    expect(verify(device, chain(server, middle), trusted())).toEqual(deny('CERTIFICATE_INVALID'));
  });

  it('binds nothing while the device is frozen or late, and tells only a trusted certificate', () => {
    const frozen = record(fingerprints('ARMED'), { frozen: true });
    expect(verify(frozen, chain(issued, middle), trusted())).toEqual(deny('FROZEN'));
    expect(verify(frozen, chain(own), trusted())).toEqual(deny('CERTIFICATE_UNTRUSTED'));
    const late = { activatedAtMs: undefined, createdAtMs: NOW_MS - 60_000, activationTimeoutS: 60 };
    const overdue = record(fingerprints('ARMED'), late);
    expect(verify(overdue, chain(issued, middle), trusted())).toEqual(deny('ACTIVATION_EXPIRED'));
  });

  it('binds nothing to an EMPTY slot', () => {
    const device = record(fingerprints(undefined, OTHER));
    expect(verify(device, chain(issued, middle), trusted())).toEqual(deny('FINGERPRINT_MISMATCH'));
    expect(verify(record(fingerprints()), chain(issued, middle), trusted())).toEqual(deny('NO_CREDENTIAL'));
  });
});

describe('verify: properties of certificates', () => {
  const hex = fc.stringMatching(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/);
  const primary = fc.option(fc.oneof(hex, fc.constant('ARMED' as const)), { nil: undefined });
  const secondary = fc.option(hex, { nil: undefined });
  const protocol = fc.constantFrom<Protocol>('MQTT', 'COAP', 'HTTPS');

  it('never throws and never grants to what no slot holds', () => {
    const bytes = fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 10 });
    const proof = fc.oneof(
      bytes.map((der): CertificateProof => ({ kind: 'CERTIFICATE', chain: der })),
      fc.string().map(bare),
    );
    fc.assert(
      fc.property(primary, secondary, proof, protocol, (first, second, shown, by) => {
        const verdict = verify(record(fingerprints(first, second)), shown, context({ protocol: by }));
        expect(verdict.kind).toBe('DENY');
      }),
    );
  });

  it('grants exactly what a slot holds and the protocol accepts, and binds no bare fingerprint', () => {
    fc.assert(
      fc.property(primary, secondary, hex, protocol, fc.nat(2), (first, second, other, by, pick) => {
        const candidate = [first, second, other][pick];
        const shown = candidate === undefined || candidate === 'ARMED' ? other : candidate;
        const verdict = verify(record(fingerprints(first, second)), bare(shown), context({ protocol: by }));
        const expected = first === shown ? 'PRIMARY' : second === shown && by !== 'COAP' ? 'SECONDARY' : undefined;
        expect(verdict.kind === 'GRANT' ? verdict.slot : undefined).toBe(expected);
        expect(verdict.kind).not.toBe('BIND');
      }),
    );
  });
});
