import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BlockStore, MAX_BODY_BYTES, sliceOf } from './blocks.ts';
import { ByteBudget } from './byte-budget.ts';
import { RESPONSE } from './codes.ts';
import { type Block, blockBytes, type RequestOptions } from './options.ts';

const SEED = 20_261_123;
const POST = 2;

function store(maxBytes = 1_000_000) {
  const at = { ms: 0 };
  const memory = new ByteBudget(maxBytes);
  return { blocks: new BlockStore(memory, () => at.ms), memory, at };
}

function options(block1: Block | undefined, more: Partial<RequestOptions> = {}): RequestOptions {
  return {
    ...{ path: ['a'], query: [], accept: undefined, observe: undefined, block1, block2: undefined, size1: undefined },
    ...{ requestTag: '', isForProxy: false, ...more },
  };
}

function send({ blocks }: ReturnType<typeof store>, body: Buffer, exponent: number, more?: Partial<RequestOptions>) {
  const bytes = blockBytes(exponent);
  const count = Math.max(Math.ceil(body.length / bytes), 1);
  return Array.from({ length: count }, (_, number) => {
    const block = { number, exponent, hasMore: number < count - 1 };
    const payload = body.subarray(number * bytes, (number + 1) * bytes);
    return blocks.take({ method: POST, options: options(block, more), payload });
  });
}

test('a body comes out as it was, whatever the size of its blocks', () => {
  const body = fc.uint8Array({ maxLength: 3_000 }).map(Buffer.from);
  fc.assert(
    fc.property(body, fc.nat(6), (whole, exponent) => {
      const bench = store();
      const results = send(bench, whole, exponent);
      expect(results.at(-1)).toMatchObject({ outcome: 'BODY', payload: whole });
      expect(results.slice(0, -1).every((each) => 'code' in each && each.code === RESPONSE.CONTINUE)).toBe(true);
      expect(bench.memory.held).toBe(0);
    }),
    { seed: SEED, numRuns: 300 },
  );
});

test('any blocks: no error, no more than is allowed, and nothing is held afterwards', () => {
  const step = fc.record({
    ...{ number: fc.nat(4), hasMore: fc.boolean(), exponent: fc.nat(7), bytes: fc.constantFrom(0, 16, 32, 64, 1_024) },
    ...{ path: fc.constantFrom('a', 'b', 'c'), tag: fc.constantFrom('', '1;'), afterMs: fc.nat(100_000) },
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const bench = store(2_000);
      for (const { number, hasMore, exponent, bytes, path, tag, afterMs } of steps) {
        bench.at.ms += afterMs;
        const given = options({ number, hasMore, exponent }, { path: [path], requestTag: tag });
        bench.blocks.take({ method: POST, options: given, payload: Buffer.alloc(bytes) });
        expect(bench.memory.held).toBeLessThanOrEqual(2_000);
      }
      bench.blocks.close();
      expect(bench.memory.held).toBe(0);
    }),
    { seed: SEED, numRuns: 2_000 },
  );
});

test('two bodies at once are told apart by their Request-Tags', () => {
  const bench = store();
  const half = (number: number, tag: string, fill: string) =>
    bench.blocks.take({
      method: POST,
      options: options({ number, exponent: 0, hasMore: number === 0 }, { requestTag: tag }),
      payload: Buffer.alloc(16, fill),
    });
  half(0, 'aa;', 'a');
  half(0, 'bb;', 'b');
  expect(half(1, 'aa;', 'a')).toMatchObject({ outcome: 'BODY', payload: Buffer.alloc(32, 'a') });
  expect(half(1, 'bb;', 'b')).toMatchObject({ outcome: 'BODY', payload: Buffer.alloc(32, 'b') });
});

test('a block whose predecessors did not come is 4.08, also when they are too old', () => {
  const bench = store();
  const take = (number: number) =>
    bench.blocks.take({
      method: POST,
      options: options({ number, exponent: 0, hasMore: true }),
      payload: Buffer.alloc(16),
    });
  expect(take(1)).toMatchObject({ code: RESPONSE.INCOMPLETE });
  expect(take(0)).toMatchObject({ code: RESPONSE.CONTINUE });
  expect(take(2)).toMatchObject({ code: RESPONSE.INCOMPLETE });
  expect(take(1)).toMatchObject({ code: RESPONSE.CONTINUE });
  bench.at.ms = 247_001;
  expect(take(2)).toMatchObject({ code: RESPONSE.INCOMPLETE });
  expect(bench.memory.held).toBe(0);
});

test('a body may begin anew', () => {
  const bench = store();
  const take = (number: number, fill: string) =>
    bench.blocks.take({
      method: POST,
      options: options({ number, exponent: 0, hasMore: number === 0 }),
      payload: Buffer.alloc(16, fill),
    });
  take(0, 'a');
  expect(take(0, 'b')).toMatchObject({ code: RESPONSE.CONTINUE });
  expect(take(1, 'c')).toMatchObject({ outcome: 'BODY', payload: Buffer.from('b'.repeat(16) + 'c'.repeat(16)) });
});

test('of three bodies the oldest is forgotten', () => {
  const bench = store();
  for (const [index, path] of ['a', 'b', 'c'].entries()) {
    bench.at.ms = index;
    const given = options({ number: 0, exponent: 6, hasMore: true }, { path: [path] });
    bench.blocks.take({ method: POST, options: given, payload: Buffer.alloc(1_024) });
  }
  expect(bench.memory.held).toBe(2_048);
});

test('the longest body is taken, a longer one is 4.13 with what may be', () => {
  const bench = store();
  expect(send(bench, Buffer.alloc(MAX_BODY_BYTES), 6).at(-1)).toMatchObject({ outcome: 'BODY' });
  const longer = send(bench, Buffer.alloc(MAX_BODY_BYTES + 1), 6).at(-1);
  expect(longer).toMatchObject({ code: RESPONSE.TOO_LARGE });
  expect(longer?.options.at(-1)).toEqual({ number: 60, value: Buffer.from([1, 0, 0]) });
  const announced = send(bench, Buffer.alloc(100), 2, { size1: MAX_BODY_BYTES + 1 });
  expect(announced[0]).toMatchObject({ code: RESPONSE.TOO_LARGE });
  expect(bench.memory.held).toBe(0);
});

test('where all clients together hold too much, another block is 5.03', () => {
  const bench = store(1_500);
  const results = send(bench, Buffer.alloc(3_000), 6);
  expect(results[1]).toMatchObject({ code: RESPONSE.UNAVAILABLE });
  expect(bench.memory.held).toBe(0);
});

test.each([
  [{ number: 0, exponent: 7, hasMore: false }, 16],
  [{ number: 0, exponent: 0, hasMore: true }, 15],
  [{ number: 0, exponent: 0, hasMore: false }, 17],
])('a malformed block is 4.00: %o with %i bytes', (block, bytes) => {
  const taken = store().blocks.take({ method: POST, options: options(block), payload: Buffer.alloc(bytes) });
  expect(taken).toMatchObject({ code: RESPONSE.BAD_REQUEST });
});

test('a response is cut as it was asked for, and its blocks make the whole', () => {
  const body = Buffer.from(Array.from({ length: 100 }, (_, index) => index));
  const parts = [0, 1, 2, 3].map((number) => sliceOf(body, { number, exponent: 1, hasMore: false })?.payload);
  expect(Buffer.concat(parts.map((part) => part ?? Buffer.alloc(0)))).toEqual(body);
  expect(sliceOf(body, { number: 4, exponent: 1, hasMore: false })).toBeUndefined();
  expect(sliceOf(body, { number: 0, exponent: 7, hasMore: false })).toBeUndefined();
  expect(sliceOf(body, undefined)).toEqual({ payload: body, options: [] });
  expect(sliceOf(Buffer.alloc(1_025), undefined)?.payload).toHaveLength(1_024);
});
