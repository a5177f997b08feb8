import { createECDH, ECDH } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { FatalAlert } from './alerts.ts';
import { GROUPS, makeKeyShare } from './key-share.ts';

const refused = new FatalAlert('ILLEGAL_PARAMETER', 'the public key is not a point of the group');

describe.each(Object.entries(GROUPS))('%s', (_name, group) => {
  test('both sides come to the same secret, and another pair to another', () => {
    const [one, other, third] = [makeKeyShare(group), makeKeyShare(group), makeKeyShare(group)];
    expect(one.agree(other.publicKey)).toEqual(other.agree(one.publicKey));
    expect(one.agree(third.publicKey)).not.toEqual(one.agree(other.publicKey));
  });

  test('keys of another length are refused', () => {
    const share = makeKeyShare(group);
    for (const size of [0, 1, 31, 33, 64, 66]) expect(() => share.agree(Buffer.alloc(size, 4))).toThrow(refused);
  });
});

test('X25519: points of small order, which make the secret zero, are refused', () => {
  const share = makeKeyShare(GROUPS.X25519);
  const one = Buffer.alloc(32);
  one.writeUInt8(1, 0);
  // RFC 7748 6.1; two of the points of small order.
  for (const point of [Buffer.alloc(32), one]) expect(() => share.agree(point)).toThrow(refused);
});

test('P-256: compressed points, points off the curve and infinity are refused', () => {
  const share = makeKeyShare(GROUPS.SECP256R1);
  const point = createECDH('prime256v1').generateKeys();
  const compressed = Buffer.from(ECDH.convertKey(point, 'prime256v1', undefined, undefined, 'compressed') as Buffer);
  const offCurve = Buffer.from(point);
  offCurve.writeUInt8(offCurve.readUInt8(64) ^ 1, 64);
  const hybrid = Buffer.from(ECDH.convertKey(point, 'prime256v1', undefined, undefined, 'hybrid') as Buffer);
  for (const bad of [compressed, offCurve, hybrid, Buffer.from([0])]) expect(() => share.agree(bad)).toThrow(refused);
});
