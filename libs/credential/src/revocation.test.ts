import { X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { caIdOf } from './authority.ts';
import { parseCrl } from './crl.ts';
import { issuanceOf, subjectOf } from './issuance.ts';
import { isRefusal, type Refusal, type RefusalReason, refuse } from './refusal.ts';
import { crlIn, crlKeyOf, dropCrl, takeCrl } from './revocation.ts';
import { OpenSslCas } from './test-openssl.ts';
import { issue } from './test-pki.ts';
import {
  CRL_KEYS,
  type Crl,
  markKeyOf,
  NOTHING_TRUSTED,
  parseTrustKey,
  shownMarks,
  type TrustSet,
  viewOf,
} from './trust.ts';

const made = new OpenSslCas();

beforeAll(() => {
  made.ca('root');
  for (const leaf of ['one', 'two', 'three']) made.leaf(leaf, 'root');
  made.ca('other');
  made.ca('impostor', { subject: '/O=Pumps/CN=root' });
});
afterAll(() => made.dispose());

const certificate = (name: string) => new X509Certificate(made.der(`${name}.pem`));
const take = (crl: string | Uint8Array, set: TrustSet = NOTHING_TRUSTED, name = 'root', atMs = Date.now()) =>
  takeCrl(set, { ca: certificate(name), bytes: Buffer.from(crl as string, 'latin1'), nowMs: atMs });
const taken = (outcome: TrustSet | Refusal): TrustSet => {
  if (isRefusal(outcome)) throw new Error(outcome.refused);
  return outcome;
};
const marksOf = (name: string) => shownMarks({ kind: 'CERTIFICATE', chain: [made.der(`${name}.pem`)] });
const isShutOut = (set: TrustSet, name: string) => marksOf(name).some((mark) => viewOf(set).disabled.has(mark));

describe('a CRL', () => {
  it('shuts out what it revokes, and nothing else, and the next one takes its place', () => {
    const first = taken(take(made.crl('root', ['one'])));
    expect(crlIn(first, caIdOf(certificate('root')))).toMatchObject({
      number: 9n,
      revoked: [issuanceOf(made.der('one.pem'))],
    });
    expect(['one', 'two', 'root', 'other'].map((name) => isShutOut(first, name))).toEqual([true, false, false, false]);
    const next = made.crl('root', ['three'], { reason: 'certificateHold' });
    const second = taken(take(next, first));
    expect(['one', 'two', 'three'].map((name) => isShutOut(second, name))).toEqual([true, false, true]);
    expect(take(next, second)).toBe(second);
    expect(take(Buffer.from(next.replaceAll(/-----[A-Z0-9 ]+-----/g, ''), 'base64').toString('latin1'), second)).toBe(
      second,
    );
    const none = taken(dropCrl(second, caIdOf(certificate('root'))));
    expect([isShutOut(none, 'one'), dropCrl(none, caIdOf(certificate('root')))]).toEqual([false, refuse('NO_CRL')]);
  });

  it('is looked for where the marks of a certificate say', () => {
    const key = crlKeyOf(certificate('root'));
    expect(marksOf('one').map(markKeyOf)).toContain(key);
    expect([CRL_KEYS.length, key && parseTrustKey(key)]).toEqual([256, key]);
  });

  it.each(['rsa:2048', 'ed25519'])('of a CA with a key of kind %s is read', (key) => {
    made.ca('kind', { key, usage: 'keyCertSign,cRLSign' });
    made.leaf('of-kind', 'kind');
    const digest = key === 'ed25519' ? 'null' : 'sha512';
    expect(isShutOut(taken(take(made.crl('kind', ['of-kind'], { digest }), NOTHING_TRUSTED, 'kind')), 'of-kind')).toBe(
      true,
    );
  });

  it.each<readonly [what: string, crl: () => string, reason: RefusalReason]>([
    ['of another CA', () => made.crl('other'), 'CRL_NOT_SIGNED_BY_CA'],
    ['in its name by another key', () => made.crl('impostor'), 'CRL_NOT_SIGNED_BY_CA'],
    ['of changes', () => made.crl('root', [], { extensions: 'deltaCRL=critical,DER:020101' }), 'CRL_PARTIAL'],
    [
      'of a part',
      () => made.crl('root', [], { extensions: 'issuingDistributionPoint=critical,DER:30038101FF' }),
      'CRL_PARTIAL',
    ],
    ['signed with SHA-1', () => made.crl('root', [], { digest: 'sha1' }), 'CRL_ALGORITHM'],
    [
      'that has expired',
      () => made.crl('root', [], { thisUpdate: '20200101000000Z', nextUpdate: '20200201000000Z' }),
      'CRL_NOT_CURRENT',
    ],
    [
      'of the future',
      () => made.crl('root', [], { thisUpdate: '20990101000000Z', nextUpdate: '20990201000000Z' }),
      'CRL_NOT_CURRENT',
    ],
    [
      'of a time before all that the store can keep',
      () => made.crl('root', [], { thisUpdate: '19600101000000Z' }),
      'NOT_A_CRL',
    ],
    ['that is a certificate', () => made.pem('one.pem'), 'NOT_A_CRL'],
    ['doubled', () => made.crl('root').repeat(2), 'NOT_A_CRL'],
    ['with bytes behind it', () => `${made.der('root.crl').toString('latin1')}\0`, 'NOT_A_CRL'],
    ['of nothing', () => '', 'NOT_A_CRL'],
    ['too long', () => `0${'\0'.repeat(700_001)}`, 'NOT_A_CRL'],
  ])('%s is refused', (_, crl, reason) => {
    expect(take(crl())).toEqual(refuse(reason));
  });

  it('needs a key that may sign CRLs', () => {
    made.ca('mute', { usage: 'keyCertSign' });
    expect(take(made.crl('mute'), NOTHING_TRUSTED, 'mute')).toEqual(refuse('CRL_NOT_SIGNED_BY_CA'));
  });

  it('cannot take the place of a newer one', () => {
    const [ninth, tenth] = [made.crl('other'), made.crl('other')];
    const set = taken(take(tenth, NOTHING_TRUSTED, 'other'));
    expect(take(ninth, set, 'other')).toEqual(refuse('CRL_OLDER'));
    const bare = (day: string) => {
      const dates = { thisUpdate: `202601${day}000000Z`, nextUpdate: '20991231000000Z' };
      return made.crl('other', [], { ...dates, unnumbered: true });
    };
    expect(take(bare('01'), set, 'other')).toEqual(refuse('CRL_OLDER'));
    const dated = taken(take(bare('02'), NOTHING_TRUSTED, 'other'));
    expect(take(bare('01'), dated, 'other')).toEqual(refuse('CRL_OLDER'));
    expect(crlIn(taken(take(bare('03'), dated, 'other')), caIdOf(certificate('other')))?.number).toBeUndefined();
    expect(taken(take(made.crl('other'), dated, 'other')).crls).toHaveLength(1);
  });

  it('leaves the CRLs of others in the set, as long as all fit in', () => {
    const full = (revoked: number): TrustSet => {
      const crl: Crl = { caId: 'ab', issuer: 'cd', number: 1n, thisUpdateMs: 1, nextUpdateMs: 2, revoked: [] };
      return { ...NOTHING_TRUSTED, crls: [{ ...crl, revoked: Array.from({ length: revoked }, () => 'x') }] };
    };
    const crl = made.crl('root', ['two']);
    const revoked = parseCrl(Buffer.from(crl))?.serials.length ?? 0;
    expect(taken(take(crl, full(100_000 - revoked))).crls).toHaveLength(2);
    expect(take(crl, full(100_001 - revoked))).toEqual(refuse('TOO_MANY_REVOKED'));
  });
});

describe('issuance', () => {
  it('does not change with the encoding, the case or the spaces of a name', async () => {
    made.ca('plain', { subject: '/CN=Pump  Works' });
    const [utf8, printable] = [made.der('plain.pem'), (await issue('pump works')).der];
    expect(subjectOf(utf8)).toBe(subjectOf(printable));
    expect(subjectOf(utf8)).not.toBe(subjectOf((await issue('pumpworks')).der));
  });

  it('tells names apart that only look alike when joined', async () => {
    made.ca('a', { subject: '/O=x/CN=y' });
    made.ca('b', { subject: '/CN=y/O=x' });
    made.ca('c', { subject: '/CN=y+O=x' });
    expect(new Set(['a', 'b', 'c'].map((name) => subjectOf(made.der(`${name}.pem`)))).size).toBe(3);
  });
});

describe('bytes that are no CRL', () => {
  it('never throw, and never become another CRL by a change of one', () => {
    const crl = Buffer.from(made.crl('root').replaceAll(/-----[A-Z0-9 ]+-----/g, ''), 'base64');
    const mangled = fc
      .tuple(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 4 }), fc.nat(2))
      .map(([place, bytes, how]) => {
        const at = place % crl.length;
        const tail = crl.subarray(how === 0 ? at + bytes.length : how === 1 ? crl.length : at);
        return Buffer.concat([crl.subarray(0, at), bytes, tail]);
      });
    const bytes = fc
      .oneof(fc.uint8Array({ maxLength: 600 }), mangled)
      .filter((given) => Buffer.compare(given, crl) !== 0);
    const whole = taken(take(crl.toString('latin1')));
    fc.assert(
      fc.property(bytes, (given) => {
        issuanceOf(given);
        const outcome = take(Buffer.from(given).toString('latin1'));
        // ECDSA knows one more signature of the same body.
        expect(isRefusal(outcome) ? whole : outcome).toEqual(whole);
      }),
      { numRuns: 2_000 },
    );
  });
});
