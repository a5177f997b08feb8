import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeMessage, emptyMessage, encodeMessage, type Message } from './message.ts';
import { readRequestOptions } from './options.ts';

const SEED = 20_261_123;

const option = fc.record({ number: fc.nat(0xffff), value: fc.uint8Array({ maxLength: 300 }).map(Buffer.from) });
const message: fc.Arbitrary<Message> = fc.record({
  type: fc.constantFrom('CON', 'NON', 'ACK', 'RST'),
  code: fc.constantFrom(1, 2, 4, 7, 65, 69, 95, 132, 160, 163),
  id: fc.nat(0xffff),
  token: fc.uint8Array({ maxLength: 8 }).map(Buffer.from),
  options: fc
    .array(option, { maxLength: 12 })
    .map((options) => options.toSorted((one, other) => one.number - other.number)),
  payload: fc.uint8Array({ maxLength: 1_100 }).map(Buffer.from),
});

test('the examples of RFC 7252, appendix A', () => {
  const get = Buffer.concat([Buffer.from('40017d34bb', 'hex'), Buffer.from('temperature')]);
  const decoded = decodeMessage(get);
  const path = [{ number: 11, value: Buffer.from('temperature') }];
  expect(decoded).toMatchObject({ kind: 'MESSAGE', message: { type: 'CON', code: 1, id: 0x7d34, options: path } });
  const answer = { code: 0x45, id: 0x7d34, token: Buffer.from([0x20]), options: [], payload: Buffer.from('22.3 C') };
  expect(encodeMessage({ type: 'ACK', ...answer }).toString('hex')).toBe('61457d3420ff32322e332043');
});

test('messages are read as they were written', () => {
  fc.assert(
    fc.property(message, (written) => {
      expect(decodeMessage(encodeMessage(written))).toEqual({ kind: 'MESSAGE', message: written });
    }),
    { seed: SEED, numRuns: 2_000 },
  );
});

test('any bytes are read without an error, and what is read is written back as it means', () => {
  const header = fc.tuple(fc.nat(0x3f), fc.nat(255), fc.nat(0xffff), fc.uint8Array({ maxLength: 60 }));
  fc.assert(
    fc.property(header, ([bits, code, id, rest]) => {
      const datagram = Buffer.concat([Buffer.from([0x40 | bits, code, id >> 8, id & 255]), rest]);
      const decoded = decodeMessage(datagram);
      expect(decoded.kind).not.toBe('NOTHING');
      if (decoded.kind !== 'MESSAGE') return;
      readRequestOptions(decoded.message.options);
      expect(decodeMessage(encodeMessage(decoded.message))).toEqual(decoded);
    }),
    { seed: SEED, numRuns: 20_000 },
  );
});

test.each([
  ['nothing', ''],
  ['less than a header', '400100'],
  ['version 0', '00010001'],
  ['version 2', '80010001'],
])('%s is passed over', (_name, hex) => {
  expect(decodeMessage(Buffer.from(hex, 'hex'))).toEqual({ kind: 'NOTHING' });
});

test.each([
  ['a token length of 9', '4901000100112233445566778899'],
  ['a token that is cut off', '44010001aabb'],
  ['an empty message with a token', '4100000100'],
  ['an empty message with a payload', '40000001ff00'],
  ['a reserved family 1', '40200001'],
  ['a reserved family 6', '40c00001'],
  ['a reserved family 7', '40e00001'],
  ['a marker without payload', '40010001ff'],
  ['a delta of 15', '40010001f1aa'],
  ['a length of 15', '400100011faa'],
  ['an option that is cut off', '40010001b5'],
  ['an extended delta that is cut off', '40010001d0'],
  ['an extended length that is cut off', '400100010e01'],
  ['an option number over 65535', '40010001e0ffff'],
  ['65 options', `40010001${'00'.repeat(65)}`],
])('%s is malformed', (_name, hex) => {
  expect(decodeMessage(Buffer.from(hex, 'hex'))).toEqual({ kind: 'MALFORMED', type: 'CON', id: 1 });
});

test('a token of nine bytes cannot be written', () => {
  const { type, code, options, payload } = { type: 'CON', code: 1, options: [], payload: Buffer.alloc(0) } as const;
  expect(() => encodeMessage({ type, code, id: 1, token: Buffer.alloc(9), options, payload })).toThrow(RangeError);
  expect(emptyMessage('RST', 0x1234).toString('hex')).toBe('70001234');
});

const text = (number: number, value: string) => ({ number, value: Buffer.from(value) });

test.each([
  ['an unknown one', [text(65_001, '')]],
  ['If-Match, which nothing here has', [text(1, '')]],
  ['a second Accept', [text(17, ''), text(17, '')]],
  ['a Block1 of four bytes', [text(27, '1234')]],
  ['an empty Uri-Host', [text(3, '')]],
  ['a path that is no UTF-8', [{ number: 11, value: Buffer.from([0xff]) }]],
])('critical options that are not understood: %s', (_name, options) => {
  expect(readRequestOptions(options)).toBeUndefined();
});

test('elective options that are not understood are passed over', () => {
  const options = [text(4, 'etag'), text(11, 'a'), text(11, ''), text(12, '123'), text(15, 'x=1'), text(65_000, '')];
  expect(readRequestOptions(options)).toMatchObject({ path: ['a', ''], query: ['x=1'], isForProxy: false });
});
