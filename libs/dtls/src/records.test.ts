import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Reader, uint, vector } from './bytes.ts';
import { CONTENT, DTLS_1_2 } from './codes.ts';
import { type Message, readFragments, splitMessage, writeMessage } from './fragments.ts';
import { readRecords, type WireRecord, writeRecord } from './records.ts';

const ID_BYTES = 8;

const record: fc.Arbitrary<WireRecord> = fc
  .record({
    type: fc.constantFrom(...Object.values(CONTENT)),
    version: fc.constant(DTLS_1_2),
    epoch: fc.nat(0xffff),
    sequence: fc.nat(2 ** 48 - 1),
    fragment: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  })
  .map((header) => ({ ...header, connectionId: Buffer.alloc(header.type === CONTENT.TLS12_CID ? ID_BYTES : 0, 7) }));

const message: fc.Arbitrary<Message> = fc.record({
  type: fc.nat(255),
  messageSequence: fc.nat(0xffff),
  body: fc.uint8Array({ maxLength: 500 }).map((bytes) => Buffer.from(bytes)),
});

test('records are read as they were written, many in a datagram', () => {
  fc.assert(
    fc.property(fc.array(record, { maxLength: 10 }), (records) => {
      const datagram = Buffer.concat(records.map(writeRecord));
      expect([...readRecords(datagram, ID_BYTES)]).toEqual(records);
    }),
    { seed: 2, numRuns: 200 },
  );
});

test('a datagram of any bytes is read without an error, and what is cut off ends it', () => {
  fc.assert(
    fc.property(fc.array(record, { maxLength: 3 }), fc.uint8Array({ maxLength: 100 }), (records, junk) => {
      const whole = Buffer.concat(records.map(writeRecord));
      const read = [...readRecords(Buffer.concat([whole, junk]), ID_BYTES)];
      expect(read.slice(0, records.length)).toEqual(records);
      expect([...readRecords(whole.subarray(0, -1), ID_BYTES)]).toEqual(records.slice(0, -1));
    }),
    { seed: 3, numRuns: 200 },
  );
});

test('a datagram counts for 32 records at most', () => {
  const empty = { type: 22, version: DTLS_1_2, epoch: 0, sequence: 1, connectionId: Buffer.alloc(0) };
  const one = writeRecord({ ...empty, fragment: Buffer.alloc(0) });
  expect([...readRecords(Buffer.concat(Array(1000).fill(one)), 0)]).toHaveLength(32);
});

test('another version, or a fragment longer than any, ends the walk', () => {
  const head = { type: 22, epoch: 0, sequence: 1, connectionId: Buffer.alloc(0) };
  expect([...readRecords(writeRecord({ ...head, version: 0x0303, fragment: Buffer.alloc(1) }), 0)]).toEqual([]);
  const long = writeRecord({ ...head, version: DTLS_1_2, fragment: Buffer.alloc(2 ** 14 + 2049) });
  expect([...readRecords(long, 0)]).toEqual([]);
});

test('messages survive being cut to pieces', () => {
  fc.assert(
    fc.property(message, fc.integer({ min: 1, max: 600 }), (whole, size) => {
      const fragments = splitMessage(whole, size).flatMap(readFragments);
      expect(Buffer.concat(fragments.map(({ bytes }) => bytes))).toEqual(whole.body);
      expect(fragments.every(({ bytes }) => bytes.length <= size)).toBe(true);
      expect(readFragments(writeMessage(whole))).toEqual([
        { ...whole, length: whole.body.length, offset: 0, bytes: whole.body, body: undefined },
      ]);
    }),
    { seed: 4, numRuns: 200 },
  );
});

test('a fragment that goes past its message is refused', () => {
  const fragment = Buffer.concat([uint(1, 16), uint(3, 5), uint(2, 0), uint(3, 3), vector(3, Buffer.alloc(3))]);
  expect(() => readFragments(fragment)).toThrow('a fragment goes past its message');
  expect(() => readFragments(fragment.subarray(0, -1))).toThrow('3 bytes wanted, 2 left');
});

test('numbers and vectors are read as they were written', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.nat(0xff),
      fc.uint8Array({ maxLength: 255 }),
      (size, value, bytes) => {
        const reader = new Reader(
          Buffer.concat([uint(size, value), vector(1, bytes), vector(2, bytes), vector(3, bytes)]),
        );
        expect(reader.number(size)).toBe(value);
        for (const lengthSize of [1, 2, 3] as const) expect([...reader.vector(lengthSize)]).toEqual([...bytes]);
        reader.end();
      },
    ),
    { seed: 5 },
  );
});
