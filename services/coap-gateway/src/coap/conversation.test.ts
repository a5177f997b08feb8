import { setTimeout as pause } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { METHOD, OPTION, RESPONSE } from './codes.ts';
import type { CoapResponse } from './conversation.ts';
import { emptyMessage, type Message } from './message.ts';
import { PATH, TOKEN, talk } from './test-talk.ts';

const SEED = 20_261_123;
const NO_BYTES = Buffer.alloc(0);

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A promise that the test fulfils. */
function later<T>() {
  return Promise.withResolvers<T>();
}

describe('requests', () => {
  test('a confirmable one is answered in its acknowledgement', async () => {
    const { say, sent, served } = talk();
    await say({});
    expect(served).toEqual([
      { method: METHOD.POST, path: ['a'], query: [], accept: undefined, payload: Buffer.from('x') },
    ]);
    expect(sent).toEqual([
      { type: 'ACK', code: RESPONSE.CHANGED, id: 7, token: TOKEN, options: [], payload: NO_BYTES },
    ]);
  });

  test('a non-confirmable one by a non-confirmable answer', async () => {
    const { say, sent } = talk();
    await say({ type: 'NON' });
    expect(sent).toMatchObject([{ type: 'NON', code: RESPONSE.CHANGED, token: TOKEN }]);
  });

  test('a duplicate is answered the same, and served once', async () => {
    const { say, sent, served } = talk();
    await say({});
    await say({});
    expect(served).toHaveLength(1);
    expect(sent[1]).toEqual(sent[0]);
    await say({ type: 'NON', id: 8 });
    await say({ type: 'NON', id: 8 });
    expect(served).toHaveLength(2);
    expect(sent).toHaveLength(3);
  });

  test('the same id counts anew after 247 s', async () => {
    const { say, served } = talk();
    await say({});
    await vi.advanceTimersByTimeAsync(246_999);
    await say({});
    expect(served).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(2);
    await say({});
    expect(served).toHaveLength(2);
  });

  test('an answer that takes longer than a second comes by itself, until it is acknowledged', async () => {
    const answer = later<CoapResponse>();
    const { say, sent } = talk(() => answer.promise);
    await say({});
    expect(sent).toEqual([]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(sent).toMatchObject([{ type: 'ACK', code: 0, id: 7 }]);
    await say({});
    expect(sent[1]).toEqual(sent[0]);
    answer.resolve({ code: RESPONSE.CHANGED });
    await vi.advanceTimersByTimeAsync(0);
    expect(sent[2]).toMatchObject({ type: 'CON', code: RESPONSE.CHANGED, token: TOKEN });
    await vi.advanceTimersByTimeAsync(2_000);
    expect(sent[3]).toEqual(sent[2]);
    await say({ type: 'ACK', code: 0, id: sent[2]?.id ?? 0, token: NO_BYTES, options: [], payload: NO_BYTES });
    await vi.advanceTimersByTimeAsync(100_000);
    expect(sent).toHaveLength(4);
  });

  test('an answer that nobody acknowledges is sent five times in all', async () => {
    const answer = later<CoapResponse>();
    const { say, sent, conversation } = talk(() => answer.promise);
    await say({});
    await vi.advanceTimersByTimeAsync(1_000);
    answer.resolve({ code: RESPONSE.CHANGED });
    await vi.advanceTimersByTimeAsync(200_000);
    expect(sent.filter(({ type }) => type === 'CON')).toHaveLength(5);
    expect(vi.getTimerCount()).toBe(0);
    conversation.close();
  });

  test('a reset ends it too', async () => {
    const answer = later<CoapResponse>();
    const { say, sent, conversation } = talk(() => answer.promise);
    await say({});
    await vi.advanceTimersByTimeAsync(1_000);
    answer.resolve({ code: RESPONSE.CHANGED });
    await vi.advanceTimersByTimeAsync(0);
    conversation.receive(emptyMessage('RST', sent[1]?.id ?? 0));
    expect(vi.getTimerCount()).toBe(0);
  });

  test('of nine at a time the last is told to come again, and may', async () => {
    const answer = later<CoapResponse>();
    const { say, sent, served } = talk(() => answer.promise);
    for (let id = 1; id <= 9; id++) await say({ id });
    expect(served).toHaveLength(8);
    expect(sent).toMatchObject([{ type: 'ACK', id: 9, code: RESPONSE.UNAVAILABLE }]);
    expect(sent[0]?.options).toEqual([{ number: OPTION.MAX_AGE, value: Buffer.from([5]) }]);
    answer.resolve({ code: RESPONSE.CHANGED });
    await vi.advanceTimersByTimeAsync(0);
    await say({ id: 9 });
    expect(served).toHaveLength(9);
  });

  test('one whose work fails is 5.00', async () => {
    const { say, sent, errors } = talk(() => Promise.reject(new Error('bad')));
    await say({});
    expect(sent).toMatchObject([{ type: 'ACK', code: RESPONSE.INTERNAL_ERROR, payload: NO_BYTES }]);
    expect(errors).toEqual([new Error('bad')]);
  });

  test('nothing is sent after the end', async () => {
    const answer = later<CoapResponse>();
    const { say, sent, conversation } = talk(() => answer.promise);
    await say({});
    conversation.close();
    answer.resolve({ code: RESPONSE.CHANGED });
    await vi.advanceTimersByTimeAsync(0);
    await say({ id: 8 });
    expect(sent).toEqual([]);
  });
});

describe('rules', () => {
  const unknown = [{ number: 65_001, value: NO_BYTES }];

  test('a critical option that is not understood: 4.02, or silence', async () => {
    const { say, sent, served } = talk();
    await say({ options: unknown });
    await say({ options: unknown, type: 'NON', id: 8 });
    expect(sent).toMatchObject([{ type: 'ACK', code: RESPONSE.BAD_OPTION }]);
    expect(served).toEqual([]);
  });

  test('for another server: 5.05', async () => {
    const { say, sent } = talk();
    await say({ options: [{ number: OPTION.PROXY_URI, value: Buffer.from('coap://other/') }] });
    expect(sent).toMatchObject([{ code: RESPONSE.PROXYING }]);
  });

  test.each([
    ['a ping is reset', '40001234', ['RST']],
    ['a malformed confirmable message is reset', '40011234ff', ['RST']],
    ['a malformed non-confirmable one is passed over', '50011234ff', []],
    ['an empty non-confirmable one is passed over', '50001234', []],
    ['an acknowledgement of nothing is passed over', '60001234', []],
    ['a reset of nothing is passed over', '70001234', []],
    ['a response that nobody asked for is reset', '40451234', ['RST']],
    ['another version is passed over', '80011234', []],
  ])('%s', async (_name, hex, types) => {
    const { conversation, sent, served } = talk();
    conversation.receive(Buffer.from(hex, 'hex'));
    await vi.advanceTimersByTimeAsync(0);
    expect(sent.map(({ type }) => type)).toEqual(types);
    expect(sent.every(({ id }) => id === 0x1234)).toBe(true);
    expect(served).toEqual([]);
  });

  test('a body in blocks is served once it is whole, whatever its tokens', async () => {
    const { say, sent, served } = talk();
    const block = (value: number) => [...PATH, { number: OPTION.BLOCK1, value: Buffer.from([value]) }];
    await say({ id: 1, token: Buffer.from('1'), options: block(0x08), payload: Buffer.alloc(16, 'a') });
    await say({ id: 2, token: Buffer.from('2'), options: block(0x10), payload: Buffer.from('b') });
    expect(sent.map(({ code }) => code)).toEqual([RESPONSE.CONTINUE, RESPONSE.CHANGED]);
    expect(sent[1]?.options).toEqual([{ number: OPTION.BLOCK1, value: Buffer.from([0x10]) }]);
    expect(served.map(({ payload }) => payload.toString())).toEqual([`${'a'.repeat(16)}b`]);
  });
});

describe('an observation', () => {
  const OBSERVE = [{ number: OPTION.OBSERVE, value: Buffer.from([1]) }];

  async function observing(notified: (payload: Buffer) => Promise<boolean> = async () => true) {
    const bench = talk();
    const got: string[] = [];
    bench.conversation.observe(['19', '0', '0'], (payload) => {
      got.push(payload.toString());
      return notified(payload);
    });
    const [get] = bench.sent.splice(0);
    if (get === undefined) throw new Error('nothing was sent');
    await bench.say({ type: 'ACK', code: RESPONSE.CONTENT, id: get.id, token: get.token, options: OBSERVE });
    const notify = (message: Partial<Message>) =>
      bench.say({ code: RESPONSE.CONTENT, token: get.token, options: OBSERVE, ...message });
    return { ...bench, get, got, notify };
  }

  test('asks for it, and acknowledges each notification that was passed on', async () => {
    const { get, got, notify, sent } = await observing();
    expect(get).toMatchObject({ type: 'CON', code: METHOD.GET });
    expect(get.options.map(({ value }) => value.toString())).toEqual(['', '19', '0', '0']);
    await notify({ id: 1, payload: Buffer.from('one') });
    await notify({ id: 1, payload: Buffer.from('one') });
    await notify({ id: 2, type: 'NON', payload: Buffer.from('two') });
    expect(got).toEqual(['one', 'two']);
    expect(sent).toMatchObject([
      { type: 'ACK', id: 1 },
      { type: 'ACK', id: 1 },
    ]);
  });

  test('begins whatever else is under way', async () => {
    const { conversation, say, sent } = talk(() => new Promise(() => {}));
    for (let id = 1; id <= 8; id++) await say({ id });
    conversation.observe(['19', '0', '0'], async () => true);
    expect(sent).toMatchObject([{ type: 'CON', code: METHOD.GET, options: [{ number: OPTION.OBSERVE }, {}, {}, {}] }]);
    conversation.close();
  });

  test('a notification that could not be passed on is not acknowledged, and counts when it comes again', async () => {
    const answers = [false, true];
    const { got, notify, sent } = await observing(async () => answers.shift() ?? false);
    await notify({ id: 1, payload: Buffer.from('one') });
    expect(sent).toEqual([]);
    await notify({ id: 1, payload: Buffer.from('one') });
    expect(got).toEqual(['one', 'one']);
    expect(sent).toMatchObject([{ type: 'ACK', id: 1 }]);
  });

  test('with another token it is reset, as is one that does not fit in a message', async () => {
    const { got, notify, sent } = await observing();
    await notify({ id: 1, token: Buffer.from('other') });
    await notify({ id: 2, options: [...OBSERVE, { number: OPTION.BLOCK2, value: Buffer.from([0x0e]) }] });
    expect(got).toEqual([]);
    expect(sent).toMatchObject([
      { type: 'RST', id: 1 },
      { type: 'RST', id: 2 },
    ]);
  });

  test('ends when the client says so, or when it has nothing of the sort', async () => {
    const { got, notify, sent } = await observing();
    await notify({ id: 1, code: RESPONSE.NOT_FOUND, options: [] });
    await notify({ id: 2 });
    expect(got).toEqual([]);
    expect(sent).toMatchObject([
      { type: 'ACK', id: 1 },
      { type: 'RST', id: 2 },
    ]);
  });
});

test('any datagrams: no error, nothing unbounded is kept, and no timer is left after the end', async () => {
  vi.useRealTimers();
  const bytes = fc.uint8Array({ maxLength: 40 });
  const datagram = fc.oneof(
    bytes.map(Buffer.from),
    fc.tuple(fc.nat(3), fc.constantFrom(0, 1, 2, 69, 132), fc.nat(20), bytes).map(([type, code, id, rest]) => {
      return Buffer.concat([Buffer.from([0x42 | (type << 4), code, 0, id, 116, 107]), rest]);
    }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(datagram, { maxLength: 40 }), async (datagrams) => {
      vi.useFakeTimers();
      const { conversation, errors, memory } = talk();
      conversation.observe(['19'], async () => false);
      for (const each of datagrams) conversation.receive(each);
      await vi.advanceTimersByTimeAsync(1_500);
      conversation.close();
      expect(errors).toEqual([]);
      expect(memory.held).toBe(0);
      expect(vi.getTimerCount()).toBe(0);
      vi.useRealTimers();
    }),
    { seed: SEED, numRuns: 1_000 },
  );
  await pause(0);
});
