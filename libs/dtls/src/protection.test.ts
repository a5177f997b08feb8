import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CONTENT, DTLS_1_2 } from './codes.ts';
import { prf } from './key-schedule.ts';
import { epochKeys, protectorFor, sealedBytes } from './protection.ts';
import type { RecordHeader } from './records.ts';
import { SUITES, type Suite, suitesNamed } from './suites.ts';

const randoms = { client: randomBytes(32), server: randomBytes(32) };
const header: RecordHeader = {
  type: CONTENT.APPLICATION_DATA,
  version: DTLS_1_2,
  epoch: 1,
  sequence: 2 ** 40 + 5,
  connectionId: Buffer.alloc(0),
};
const identified: RecordHeader = { ...header, type: CONTENT.TLS12_CID, connectionId: Buffer.from('anidhere') };

describe.each(SUITES.map((suite): [string, Suite] => [suite.name, suite]))('%s', (_name, suite) => {
  const { write } = epochKeys(suite, randomBytes(48), randoms);

  test('opens what it sealed, of the length that was foretold', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(header, identified), (bytes, head) => {
        const plaintext = Buffer.from(bytes);
        const fragment = write.seal(head, plaintext);
        expect(fragment.length).toBe(sealedBytes(suite, plaintext.length));
        expect(write.open({ ...head, fragment })).toEqual(plaintext);
      }),
      { seed: 7, numRuns: 40 },
    );
  });

  test('opens nothing that was changed, cut or put under another header', () => {
    const fragment = write.seal(identified, Buffer.from('a reading of 21.5 degrees'));
    for (let bit = 0; bit < fragment.length * 8; bit++) {
      const changed = Buffer.from(fragment);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(write.open({ ...identified, fragment: changed })).toBeUndefined();
    }
    for (let size = 0; size < fragment.length; size++) {
      expect(write.open({ ...identified, fragment: fragment.subarray(0, size) })).toBeUndefined();
    }
    const others = [
      { type: 22 },
      { version: 0xfeff },
      { sequence: 1 },
      { epoch: 2 },
      { connectionId: Buffer.from('another!') },
    ];
    for (const other of others) expect(write.open({ ...identified, ...other, fragment })).toBeUndefined();
  });
});

test('the pseudo-random function gives the known answers', () => {
  // The vectors for P_SHA256 and P_SHA384 that were given on the IETF's TLS list with draft-ietf-tls-rfc4346-bis.
  const sha256 = {
    hash: 'sha256',
    secret: Buffer.from('9bbe436ba940f017b17652849a71db35', 'hex'),
    label: 'test label',
    seed: Buffer.from('a0ba9f936cda311827a6f796ffd5198c', 'hex'),
    bytes: 100,
  } as const;
  expect(prf(sha256).toString('hex')).toBe(
    'e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66',
  );
  const sha384 = {
    hash: 'sha384',
    secret: Buffer.from('b80b733d6ceefcdc71566ea48e5567df', 'hex'),
    label: 'test label',
    seed: Buffer.from('cd665cf6a8447dd6ff8b27555edb7465', 'hex'),
    bytes: 148,
  } as const;
  expect(prf(sha384).toString('hex')).toBe(
    '7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0e534cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d9184259b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d73e56f',
  );
});

test('a sealed CBC record is refused when its padding is wrong, MAC or no MAC', () => {
  const [suite] = suitesNamed(['TLS_PSK_WITH_AES_128_CBC_SHA256']);
  expect(suite).toBeDefined();
  const keys = { key: randomBytes(16), iv: Buffer.alloc(0), macKey: randomBytes(32) };
  const { open } = protectorFor(suite as Suite, keys);
  for (const bytes of [0, 32, 47, 48, 63]) expect(open({ ...header, fragment: randomBytes(bytes) })).toBeUndefined();
});

test('no such suite', () => {
  expect(() => suitesNamed(['TLS_NULL'])).toThrow(new RangeError('no such cipher suite: TLS_NULL'));
});
