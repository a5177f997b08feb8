import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Breach, CONNECT_BYTE, MAX_CONNECT_BYTES, MAX_PACKET_BYTES, packetWalk } from './packets.ts';

const RULES = { firstByte: CONNECT_BYTE, maxFirstBytes: MAX_CONNECT_BYTES, maxOtherBytes: MAX_PACKET_BYTES };

function packet(type: number, length: number): Buffer {
  const header = [type];
  for (let left = length; ; left = Math.floor(left / 128)) {
    header.push(left >= 128 ? (left % 128) | 0x80 : left);
    if (left < 128) break;
  }
  return Buffer.concat([Buffer.from(header), Buffer.alloc(length, 0xff)]);
}

function feed(stream: Buffer, sizes: readonly number[]): Breach | undefined {
  const walk = packetWalk(RULES);
  for (let at = 0, turn = 0; at < stream.length; turn++) {
    const size = sizes[turn % sizes.length] ?? stream.length;
    const breach = walk.take(stream.subarray(at, at + size));
    if (breach !== undefined) return breach;
    at += size;
  }
  return undefined;
}

test('packets within their bounds pass, however they are cut', () => {
  const lengths = fc.array(fc.constantFrom(0, 1, 127, 128, 16_383, 16_384, 70_000), { maxLength: 5 });
  const sizes = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(lengths, sizes, (bodies, cuts) => {
      const stream = Buffer.concat([packet(0x10, 100), ...bodies.map((length) => packet(0x30, length))]);
      expect(feed(stream, cuts)).toBeUndefined();
    }),
    { numRuns: 50 },
  );
});

test.each([
  ['a first packet that is no CONNECT', 'WRONG_FIRST', packet(0x30, 5)],
  ['a CONNECT with flags', 'WRONG_FIRST', packet(0x11, 5)],
  ['a CONNECT of 64 KiB', undefined, packet(0x10, 65_536)],
  ['a CONNECT over 64 KiB', 'TOO_LONG', packet(0x10, 65_537)],
  ['a packet of 1 MiB', undefined, Buffer.concat([packet(0x10, 1), packet(0x30, 1_048_576)])],
  ['a packet over 1 MiB', 'TOO_LONG', Buffer.concat([packet(0x10, 1), packet(0x30, 1_048_577)])],
  ['a length without an end', 'BAD_LENGTH', Buffer.from([0x10, 0x80, 0x80, 0x80, 0x80, 0x01])],
] as const)('%s: %s', (_, breach, stream) => {
  expect(feed(stream, [stream.length])).toBe(breach);
  expect(feed(stream, [1])).toBe(breach);
});

test('a boundary is where a packet ends, and nowhere else', () => {
  const ends = [packet(0x10, 0), packet(0x30, 200), packet(0xc0, 0), packet(0x30, 1)];
  const walk = packetWalk(RULES);
  expect(walk.atBoundary()).toBe(true);
  for (const each of ends) {
    for (const byte of each.subarray(0, -1)) {
      walk.take(Buffer.from([byte]));
      expect(walk.atBoundary()).toBe(false);
    }
    walk.take(each.subarray(-1));
    expect(walk.atBoundary()).toBe(true);
  }
});
