import { describe, expect, test } from 'vitest';
import { uint, vector } from './bytes.ts';
import { readClientHello } from './client-hello.ts';
import { EXTENSION } from './codes.ts';
import { extension } from './test-client.ts';

type Parts = {
  readonly sessionId?: Buffer;
  readonly cookie?: Buffer;
  readonly suites?: Buffer;
  readonly compressions?: Buffer;
  readonly extensions?: readonly Buffer[];
};

const RANDOM = Buffer.alloc(32, 7);

function helloOf(parts: Parts = {}): Buffer {
  const { sessionId = Buffer.alloc(0), cookie = Buffer.alloc(0), suites = uint(2, 0xc0a8) } = parts;
  const head = [uint(2, 0xfefd), RANDOM, vector(1, sessionId), vector(1, cookie), vector(2, suites)];
  const extensions = parts.extensions === undefined ? [] : [vector(2, ...parts.extensions)];
  return Buffer.concat([...head, vector(1, parts.compressions ?? uint(1, 0)), ...extensions]);
}

test('all that is offered is read', () => {
  const extensions = [
    extension(EXTENSION.SUPPORTED_GROUPS, vector(2, uint(2, 29), uint(2, 23))),
    extension(EXTENSION.SIGNATURE_ALGORITHMS, vector(2, uint(2, 0x0403))),
    extension(EXTENSION.CONNECTION_ID, vector(1, Buffer.from('id'))),
    extension(EXTENSION.MAX_FRAGMENT_LENGTH, uint(1, 2)),
    extension(EXTENSION.POINT_FORMATS, vector(1, uint(1, 0))),
    extension(EXTENSION.ENCRYPT_THEN_MAC, Buffer.alloc(0)),
    extension(EXTENSION.EXTENDED_MASTER_SECRET, Buffer.alloc(0)),
    extension(EXTENSION.RENEGOTIATION_INFO, vector(1)),
    extension(0x1234, Buffer.from('unknown')),
  ];
  expect(readClientHello(helloOf({ cookie: Buffer.from('cookie'), extensions }))).toMatchObject({
    version: 0xfefd,
    random: RANDOM,
    cookie: Buffer.from('cookie'),
    suites: [0xc0a8],
    groups: [29, 23],
    signatureSchemes: [0x0403],
    connectionId: Buffer.from('id'),
    maxFragmentLength: 2,
    hasPointFormats: true,
    hasEncryptThenMac: true,
    hasExtendedMasterSecret: true,
    hasSecureRenegotiation: true,
  });
});

test('what is not offered is absent', () => {
  expect(readClientHello(helloOf())).toMatchObject({
    groups: undefined,
    signatureSchemes: undefined,
    connectionId: undefined,
    maxFragmentLength: undefined,
    hasPointFormats: false,
    hasEncryptThenMac: false,
    hasExtendedMasterSecret: false,
    hasSecureRenegotiation: false,
  });
});

test('a suite may stand for the extension of renegotiation', () => {
  const suites = Buffer.concat([uint(2, 0xc0a8), uint(2, 0x00ff)]);
  expect(readClientHello(helloOf({ suites })).hasSecureRenegotiation).toBe(true);
});

test('a cookie covers everything but itself', () => {
  const plain = readClientHello(helloOf()).covered;
  expect(readClientHello(helloOf({ cookie: Buffer.from('cookie') })).covered).toEqual(plain);
  const others: readonly Parts[] = [
    { sessionId: Buffer.from('x') },
    { suites: uint(2, 0xc0a4) },
    { compressions: Buffer.from([1, 0]) },
    { extensions: [] },
  ];
  for (const other of others) expect(readClientHello(helloOf(other)).covered).not.toEqual(plain);
});

describe('refused', () => {
  const empty = Buffer.alloc(0);
  const cases: readonly (readonly [string, Parts, string])[] = [
    ['a long session id', { sessionId: Buffer.alloc(33) }, 'the session id is longer than 32 bytes'],
    ['no suites', { suites: empty }, 'no cipher suites'],
    ['half a suite', { suites: Buffer.alloc(3) }, '2 bytes wanted, 1 left'],
    ['no null compression', { compressions: uint(1, 1) }, 'no null compression'],
    ['an extension twice', { extensions: [extension(5, empty), extension(5, empty)] }, 'an extension comes twice'],
    [
      'more extensions than anybody has',
      { extensions: Array.from({ length: 33 }, (_, type) => extension(1_000 + type, empty)) },
      'too many extensions',
    ],
    ['an extension cut off', { extensions: [uint(2, 5)] }, '2 bytes wanted, 0 left'],
    ['bytes in an extension', { extensions: [extension(54, Buffer.from([0, 0]))] }, '1 bytes too many'],
    ['compressed points only', { extensions: [extension(11, vector(1, uint(1, 1)))] }, 'no uncompressed points'],
    ['a renegotiation', { extensions: [extension(0xff01, vector(1, Buffer.alloc(12)))] }, 'a renegotiation'],
  ];

  test.each(cases)('%s', (_name, parts, message) => {
    expect(() => readClientHello(helloOf(parts))).toThrow(message);
  });

  test('bytes behind it, and any that is cut off', () => {
    const whole = helloOf({ extensions: [] });
    expect(() => readClientHello(Buffer.concat([whole, Buffer.alloc(1)]))).toThrow('1 bytes too many');
    // The extensions may be left out as a whole.
    const lengths = Array.from({ length: whole.length - 2 }, (_, length) => length);
    for (const length of lengths) expect(() => readClientHello(whole.subarray(0, length))).toThrow('bytes wanted');
  });
});
