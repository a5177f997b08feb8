import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Fragment } from './fragments.ts';
import { Reassembly } from './reassembly.ts';

const MAX_BYTES = 1_000;

type Piece = Omit<Fragment, 'bytes'> & { readonly bytes: Buffer };

function piece(messageSequence: number, body: Buffer, [from, to]: readonly [number, number]): Piece {
  return { type: 16, length: body.length, messageSequence, offset: from, bytes: body.subarray(from, to) };
}

/** Up to four messages, cut at random places, some pieces more than once and overlapping, in any order. */
const scattered = fc.array(fc.uint8Array({ maxLength: 200 }), { minLength: 1, maxLength: 4 }).chain((bodies) => {
  const pieces = bodies.map((body, sequence) =>
    fc
      .array(fc.tuple(fc.nat(body.length), fc.nat(body.length)), { maxLength: 6 })
      .map((cuts) => cuts.map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const))
      // Whatever was cut, these two cover all.
      .map((cuts) => [...cuts, [0, body.length >> 1] as const, [body.length >> 1, body.length] as const])
      .map((cuts) => cuts.map((cut) => piece(sequence, Buffer.from(body), cut))),
  );
  return fc
    .tuple(...pieces)
    .chain((all) => fc.shuffledSubarray(all.flat(), { minLength: all.flat().length }))
    .map((order) => ({ bodies, order }));
});

test('messages come out whole and in their order, however their fragments came', () => {
  fc.assert(
    fc.property(scattered, ({ bodies, order }) => {
      const reassembly = new Reassembly(0, MAX_BYTES);
      const taken: Buffer[] = [];
      for (const fragment of order) {
        reassembly.add(fragment, 0);
        for (let message = reassembly.take(); message !== undefined; message = reassembly.take())
          taken.push(message.body);
      }
      expect(taken.map((body) => [...body])).toEqual(bodies.map((body) => [...body]));
    }),
    { seed: 1, numRuns: 300 },
  );
});

test('what was taken, is far ahead or too long is of no use', () => {
  const reassembly = new Reassembly(2, MAX_BYTES);
  expect(reassembly.add(piece(1, Buffer.alloc(1), [0, 1]), 0)).toBe(false);
  expect(reassembly.add(piece(6, Buffer.alloc(1), [0, 1]), 0)).toBe(false);
  expect(reassembly.add(piece(2, Buffer.alloc(MAX_BYTES + 1), [0, 1]), 0)).toBe(false);
  expect(reassembly.add(piece(3, Buffer.alloc(600), [0, 1]), 0)).toBe(true);
  expect(reassembly.add(piece(4, Buffer.alloc(600), [0, 1]), 0)).toBe(false);
  expect(reassembly.take()).toBeUndefined();
});

test('the space of a message is free again when it was taken', () => {
  const reassembly = new Reassembly(0, MAX_BYTES);
  for (const sequence of [0, 1, 2, 3, 4, 5]) {
    expect(reassembly.add(piece(sequence, Buffer.alloc(MAX_BYTES), [0, MAX_BYTES]), 0)).toBe(true);
    expect(reassembly.take()?.messageSequence).toBe(sequence);
  }
});

test('an authentic fragment takes the place of what anybody sent, and not the other way round', () => {
  const reassembly = new Reassembly(0, MAX_BYTES);
  expect(reassembly.add(piece(0, Buffer.from('forged'), [0, 3]), 0)).toBe(true);
  expect(reassembly.add(piece(0, Buffer.from('genuine'), [0, 3]), 1)).toBe(true);
  expect(reassembly.add(piece(0, Buffer.from('forged'), [3, 6]), 0)).toBe(false);
  reassembly.add(piece(0, Buffer.from('genuine'), [3, 7]), 1);
  expect(String(reassembly.take()?.body)).toBe('genuine');
});
