import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CONTENT } from './codes.ts';
import { readFragments } from './fragments.ts';
import { Outgoing } from './outgoing.ts';
import { Reassembly } from './reassembly.ts';
import { RecordLayer } from './record-layer.ts';
import { readRecords } from './records.ts';

const bodies = fc.array(
  fc.uint8Array({ maxLength: 900 }).map((bytes) => Buffer.from(bytes)),
  { minLength: 1, maxLength: 4 },
);

test('a flight fits its datagrams and comes out whole, however small they are', () => {
  const sizes = { payload: fc.integer({ min: 60, max: 1500 }), fragment: fc.integer({ min: 40, max: 4096 }) };
  fc.assert(
    fc.property(bodies, sizes.payload, sizes.fragment, (messages, payloadBytes, maxFragmentBytes) => {
      const outgoing = new Outgoing(new RecordLayer(7), { payloadBytes, maxFragmentBytes }, 1);
      for (const body of messages) outgoing.add(0, { type: 11, body });
      const datagrams = outgoing.datagrams();
      expect(datagrams.every(({ length }) => length <= payloadBytes)).toBe(true);
      const records = datagrams.flatMap((datagram) => [...readRecords(datagram, 0)]);
      expect(records.every(({ fragment }) => fragment.length <= maxFragmentBytes)).toBe(true);
      expect(records.map(({ sequence }) => sequence)).toEqual(records.map((_record, index) => index + 7));
      const reassembly = new Reassembly(1, 10_000);
      for (const fragment of records.flatMap((record) => readFragments(record.fragment))) reassembly.add(fragment, 0);
      expect(messages.map(() => reassembly.take()?.body)).toEqual(messages);
    }),
    { seed: 11, numRuns: 200 },
  );
});

test('as many records as fit share a datagram; again it has new numbers, and it may be asked to be smaller', () => {
  const outgoing = new Outgoing(new RecordLayer(0), { payloadBytes: 1_000, maxFragmentBytes: 4_096 }, 0);
  for (const size of [100, 100, 900]) outgoing.add(0, { type: 11, body: Buffer.alloc(size) });
  expect(outgoing.datagrams().map(({ length }) => length)).toEqual([250, 925]);
  const [first] = [...readRecords(outgoing.datagrams()[0] ?? Buffer.alloc(0), 0)];
  expect(first).toMatchObject({ type: CONTENT.HANDSHAKE, sequence: 3 });
  expect(outgoing.datagrams(548).every(({ length }) => length <= 548)).toBe(true);
});
