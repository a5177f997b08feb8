import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { caIdOf } from './authority.ts';
import {
  allowedBelow,
  allowsClientUse,
  fingerprintsOf,
  isCurrent,
  isForClients,
  parseCertificate,
  parseFingerprint,
  parsePem,
  trustedCaOf,
} from './certificate.ts';
import { DAY_MS, type Identity, issue, NOW_MS, trusting, type Wish } from './test-pki.ts';

const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const ANY_USAGE = '2.5.29.37.0';

describe('fingerprintsOf', () => {
  it('gives the hashes that the certificate itself shows', async () => {
    const { certificate, der } = await issue('device');
    const { sha1, sha256 } = fingerprintsOf(der);
    expect(sha1).toBe(certificate.fingerprint.replaceAll(':', '').toLowerCase());
    expect(sha256).toBe(certificate.fingerprint256.replaceAll(':', '').toLowerCase());
  });
});

describe('parseFingerprint', () => {
  it('takes 40 or 64 hex characters of either case', () => {
    expect(parseFingerprint('Ab'.repeat(20))).toBe('ab'.repeat(20));
    expect(parseFingerprint('Ab'.repeat(32))).toBe('ab'.repeat(32));
  });

  it.each([
    ['nothing', ''],
    ['39 characters', 'a'.repeat(39)],
    ['41 characters', 'a'.repeat(41)],
    ['63 characters', 'a'.repeat(63)],
    ['65 characters', 'a'.repeat(65)],
    ['no hex', `${'a'.repeat(39)}g`],
    ['colons', 'aa:'.repeat(20)],
    ['a line after it', `${'a'.repeat(40)}\n`],
    ['a letter that lowercases into two', `${'a'.repeat(38)}\u0130`],
  ])('refuses %s', (_name, text) => {
    expect(parseFingerprint(text)).toBeUndefined();
  });

  it('never throws', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseFingerprint(text)));
  });
});

describe('parseCertificate', () => {
  it('takes exactly one DER certificate', async () => {
    const { certificate, der } = await issue('device');
    expect(parseCertificate(der)?.fingerprint256).toBe(certificate.fingerprint256);
  });

  it('refuses PEM, bytes after the end, a cut one, nothing, and one that is too long', async () => {
    const { certificate, der } = await issue('device');
    const wrong = [
      Buffer.from(certificate.toString()),
      Buffer.concat([der, Buffer.of(0)]),
      der.subarray(0, -1),
      new Uint8Array(),
      (await issue('x'.repeat(16_384))).der,
    ];
    expect(wrong.map(parseCertificate)).toEqual(wrong.map(() => undefined));
  });

  it('never throws, whatever bytes are changed', async () => {
    const { der } = await issue('device');
    fc.assert(
      fc.property(fc.nat(der.length - 1), fc.nat(255), (at, value) => {
        const changed = Uint8Array.from(der);
        changed[at] = value;
        const parsed = parseCertificate(changed);
        expect(parsed === undefined || parsed.raw.equals(changed)).toBe(true);
      }),
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void parseCertificate(bytes)));
  });
});

describe('isCurrent', () => {
  it('includes both ends', async () => {
    const { certificate } = await issue('device', { notBeforeMs: NOW_MS, notAfterMs: NOW_MS + DAY_MS });
    const moments = [NOW_MS - 1, NOW_MS, NOW_MS + DAY_MS, NOW_MS + DAY_MS + 1];
    expect(moments.map((nowMs) => isCurrent(certificate, nowMs))).toEqual([false, true, true, false]);
  });

  it('knows a certificate without an end (RFC 5280 section 4.1.2.5)', async () => {
    const { certificate } = await issue('device', { notAfterMs: Date.UTC(9999, 11, 31, 23, 59, 59) });
    expect(isCurrent(certificate, Date.UTC(9000, 0, 1))).toBe(true);
  });
});

describe('allowsClientUse', () => {
  it.each<[string, readonly string[] | undefined, boolean]>([
    ['no extended key usage', undefined, true],
    ['client', [CLIENT_AUTH], true],
    ['server and client', [SERVER_AUTH, CLIENT_AUTH], true],
    ['server', [SERVER_AUTH], false],
    ['any', [ANY_USAGE], false],
  ])('%s', async (_name, usages, expected) => {
    const { certificate } = await issue('device', usages === undefined ? {} : { usages });
    expect(allowsClientUse(certificate)).toBe(expected);
  });
});

describe('isForClients', () => {
  it.each([
    ['no key usage', {}, true],
    ['signatures', { signs: 'DATA' }, true],
    ['agreement on keys', { signs: 'AGREEMENT' }, true],
    ['encipherment of keys', { signs: 'KEYS' }, false],
    ['certificates', { signs: 'CERTIFICATES' }, false],
    ['signatures of servers', { signs: 'DATA', usages: ['1.3.6.1.5.5.7.3.1'] }, false],
  ] as const)('by %s: %s', async (_name, wish, expected) => {
    expect(isForClients((await issue('leaf', wish)).certificate)).toBe(expected);
  });
});

describe('allowsClientUse: an extension that Node does not show', () => {
  it.each(['TWICE', 'BROKEN'] as const)('%s', async (oddUsages) => {
    const { certificate } = await issue('device', { oddUsages });
    expect(certificate.keyUsage).toBeUndefined();
    expect(allowsClientUse(certificate)).toBe(false);
  });
});

describe('parsePem', () => {
  it('reads the one certificate of a text', async () => {
    const { certificate, der } = await issue('device');
    const pem = certificate.toString();
    expect(parsePem(pem)?.raw).toEqual(Buffer.from(der));
    expect(parsePem(`Subject: device\r\n${pem.replaceAll('\n', '\r\n')}\r\nbye`)?.raw).toEqual(Buffer.from(der));
    expect(parsePem(pem + pem)).toBeUndefined();
    expect(parsePem(pem.replace('MII', 'MIX'))).toBeUndefined();
    expect(parsePem('')).toBeUndefined();
  });

  it('never throws, however long or broken the text is', () => {
    const broken = fc.oneof(fc.string({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }).map(wrapped));
    fc.assert(fc.property(broken, (text) => parsePem(text) === undefined));
    expect(parsePem('-----BEGIN CERTIFICATE-----'.repeat(10_000))).toBeUndefined();
    expect(parsePem(wrapped(Buffer.alloc(100_000, 0x30)))).toBeUndefined();
  });

  function wrapped(bytes: Uint8Array): string {
    return `-----BEGIN CERTIFICATE-----\n${Buffer.from(bytes).toString('base64')}\n-----END CERTIFICATE-----`;
  }
});

describe('trustedCaOf', () => {
  let root: Identity;
  let middle: Identity;
  let low: Identity;
  let leaf: Identity;

  beforeAll(async () => {
    root = await issue('root', { ca: true });
    middle = await issue('middle', { ca: true, issuer: root });
    low = await issue('low', { ca: true, issuer: middle });
    leaf = await issue('leaf', { issuer: low });
  });

  function rootOf(shown: Identity, intermediates: readonly Identity[], trusted: readonly Identity[]) {
    return trustedCaOf({
      leaf: shown.certificate,
      intermediates: intermediates.map(({ certificate }) => certificate),
      trustedCas: trusting(...trusted),
      nowMs: NOW_MS,
    });
  }

  function chains(shown: Identity, intermediates: readonly Identity[], trusted: readonly Identity[]): boolean {
    return rootOf(shown, intermediates, trusted) !== undefined;
  }

  it('follows intermediates in any order, with strangers among them', async () => {
    const stranger = await issue('stranger', { ca: true });
    expect(chains(leaf, [low, middle], [root])).toBe(true);
    expect(chains(leaf, [stranger, middle, low, root], [stranger, root])).toBe(true);
  });

  it('ends at any trusted CA, self-signed or not', () => {
    expect(chains(leaf, [], [low])).toBe(true);
    expect(chains(leaf, [low], [middle])).toBe(true);
  });

  it('names the trusted CA that it ends at', () => {
    expect(rootOf(leaf, [low, middle], [root])).toBe(caIdOf(root.certificate));
    expect(rootOf(leaf, [low, middle], [root, middle])).toBe(caIdOf(middle.certificate));
  });

  it('needs every link', () => {
    expect(chains(leaf, [low], [root])).toBe(false);
    expect(chains(leaf, [middle], [root])).toBe(false);
    expect(chains(leaf, [low, middle], [])).toBe(false);
    expect(chains(leaf, [low, middle, root], [])).toBe(false);
  });

  it('does not take a name for a signature', async () => {
    const forged = await issue('leaf', { issuer: root, forged: true });
    expect(chains(forged, [], [root])).toBe(false);
    const forgedMiddle = await issue('middle', { ca: true, issuer: root, forged: true });
    expect(chains(await issue('leaf', { issuer: forgedMiddle }), [forgedMiddle], [root])).toBe(false);
    const namesake = await issue('root', { ca: true });
    expect(chains(await issue('leaf', { issuer: namesake }), [namesake], [root])).toBe(false);
  });

  it('does not take a signature for a name', async () => {
    const renamed = await issue('another name', { ca: true, keys: root.keys });
    expect(chains(await issue('leaf', { issuer: root }), [], [renamed])).toBe(false);
  });

  it('does not take a self-signed certificate that is not trusted', async () => {
    expect(chains(await issue('self'), [], [root])).toBe(false);
    const own = await issue('own CA', { ca: true });
    expect(chains(await issue('leaf', { issuer: own }), [own], [root])).toBe(false);
  });

  it.each<[string, Wish]>([
    ['is a device', {}],
    ['is no CA', { ca: false }],
    ['may not sign certificates', { ca: true, signs: 'DATA' }],
    ['is for servers only', { ca: true, usages: [SERVER_AUTH] }],
    ['has expired', { ca: true, notAfterMs: NOW_MS - 1000 }],
    ['is of the future', { ca: true, notBeforeMs: NOW_MS + 1000 }],
  ])('refuses an issuer that %s, trusted or between', async (_name, wish) => {
    const between = await issue('between', { ...wish, issuer: root });
    expect(chains(await issue('leaf', { issuer: between }), [between], [root])).toBe(false);
    const trusted = await issue('trusted', wish);
    expect(chains(await issue('leaf', { issuer: trusted }), [], [trusted])).toBe(false);
  });

  it('takes an issuer that may sign certificates', async () => {
    const between = await issue('between', { ca: true, signs: 'CERTIFICATES', issuer: root });
    expect(chains(await issue('leaf', { issuer: between }), [between], [root])).toBe(true);
  });

  it('heeds path lengths, its own and those above it', async () => {
    const wishes = [{ pathLength: 0 }, { pathLength: 1 }, {}];
    const roots = await Promise.all(wishes.map((wish) => issue('root', { ca: true, keys: root.keys, ...wish })));
    expect(roots.map((one) => chains(leaf, [low, middle], [one]))).toEqual([false, false, true]);
    const under = await issue('leaf', { issuer: middle });
    expect(roots.map((one) => chains(under, [middle], [one]))).toEqual([false, true, true]);
    const direct = await issue('leaf', { issuer: root });
    expect(roots.map((one) => chains(direct, [], [one]))).toEqual([true, true, true]);
    const narrow = await issue('middle', { ca: true, issuer: root, keys: middle.keys, pathLength: 0 });
    expect([chains(leaf, [low, narrow], [root]), chains(under, [narrow], [root])]).toEqual([false, true]);
  });

  it('refuses an issuer whose critical extensions are not heeded', async () => {
    const constrained = await issue('constrained', { ca: true, constrained: true });
    expect(allowedBelow(constrained.certificate)).toBeUndefined();
    expect(chains(await issue('leaf', { issuer: constrained }), [], [constrained])).toBe(false);
  });

  it('is not held up by many names, deep chains or cross-signed CAs', async () => {
    const keys = [root.keys, middle.keys, low.keys];
    const crossed = await Promise.all(
      [0, 1, 2].flatMap((of) =>
        [0, 1, 2].map((by) =>
          issue('same', { ca: true, keys: keys[of] ?? root.keys, issuer: { ...root, keys: keys[by] ?? root.keys } }),
        ),
      ),
    );
    const namesakes = await Promise.all(Array.from({ length: 20 }, () => issue('root', { ca: true })));
    const shown = await issue('leaf', { issuer: { ...low, certificate: crossed[0]?.certificate ?? low.certificate } });
    expect(chains(shown, crossed, namesakes)).toBe(false);
    expect(chains(shown, crossed, [...namesakes, root])).toBe(true);
  });

  it('comes to an end in loops', async () => {
    const first = await issue('first', { ca: true });
    const second = await issue('second', { ca: true, issuer: first });
    const back = await issue('first', { ca: true, issuer: second, keys: first.keys });
    const shown = await issue('leaf', { issuer: second });
    expect(chains(shown, [second, back, first, second, back], [root])).toBe(false);
    expect(chains(shown, [back, second, back, first], [first, root])).toBe(true);
    expect(chains(await issue('stranger'), [back, second, back, first], [first, root])).toBe(false);
  });
});
