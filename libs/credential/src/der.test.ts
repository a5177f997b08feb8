import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fingerprintsOf, isIssuedBy, parseCertificate } from './certificate.ts';
import { extensionsOf, pathLengthIn, twinOf } from './der.ts';
import { type Identity, issue } from './test-pki.ts';
import { shownMarks } from './trust.ts';

const ROOT = await issue('root', { ca: true, pathLength: 3, signs: 'CERTIFICATES' });
const LEAF = await issue('leaf', { issuer: ROOT });

describe('extensionsOf', () => {
  it('shows what is there and what is critical', () => {
    const shown = extensionsOf(ROOT.der) ?? [];
    expect(shown.map(({ oid, critical }) => [oid, critical])).toEqual([
      ['551d13', true],
      ['551d0f', true],
    ]);
    expect(shown.map(({ value }) => pathLengthIn(value))).toEqual([3, undefined]);
    expect(extensionsOf(LEAF.der)).toEqual([]);
  });
});

describe('twinOf', () => {
  it('is another certificate to a hash, and the same to its issuer', () => {
    const twin = twinOf(LEAF.der) ?? new Uint8Array();
    const parsed = parseCertificate(twin);
    expect(parsed && isIssuedBy(parsed, ROOT.certificate)).toBe(true);
    expect(fingerprintsOf(twin)).not.toEqual(fingerprintsOf(LEAF.der));
    expect(Buffer.from(twinOf(twin) ?? [])).toEqual(Buffer.from(LEAF.der));
  });

  it.each(Array.from({ length: 20 }, (_, index) => index))(
    'has a form that OpenSSL takes, whatever the numbers: %i',
    async () => {
      const twin = parseCertificate(twinOf((await issue('leaf', { issuer: ROOT })).der) ?? new Uint8Array());
      expect(twin && isIssuedBy(twin, ROOT.certificate)).toBe(true);
    },
  );

  it('makes both known by either', () => {
    const names = (der: Uint8Array) => shownMarks({ kind: 'CERTIFICATE', chain: [der] });
    const twin = twinOf(LEAF.der) ?? new Uint8Array();
    expect(new Set(names(twin))).toEqual(new Set(names(LEAF.der)));
    // Two fingerprints of each, and one issuance.
    expect(names(LEAF.der)).toHaveLength(5);
  });
});

describe('DER at the edge', () => {
  const garbage = fc.uint8Array({ maxLength: 600 });
  /** A real certificate with some bytes exchanged, cut or doubled. */
  const mangled = fc
    .tuple(fc.constantFrom<Identity>(ROOT, LEAF), fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 4 }), fc.nat(2))
    .map(([{ der }, place, bytes, how]) => {
      const at = place % der.length;
      const tail = der.subarray(how === 0 ? at + bytes.length : how === 1 ? der.length : at);
      return Buffer.concat([der.subarray(0, at), bytes, tail]);
    });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.oneof(garbage, mangled), (bytes) => {
        const twin = twinOf(bytes);
        for (const { value } of extensionsOf(bytes) ?? []) pathLengthIn(value);
        return twin === undefined || twin.length < 1_000;
      }),
      { numRuns: 3_000 },
    );
  });

  it('is bounded by its length, however it is nested', () => {
    const deep = Buffer.concat(Array.from({ length: 8_000 }, () => Buffer.of(0x30, 0x80)));
    const flat = Buffer.concat([Buffer.of(0x30, 0x82, 0x3f, 0xfc), Buffer.alloc(16_380)]);
    for (const bytes of [deep, flat, Buffer.alloc(16_384, 0x30), Buffer.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff)]) {
      expect([extensionsOf(bytes), twinOf(bytes)]).toEqual([undefined, undefined]);
    }
  });
});
