import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { METHOD, OPTION, RESPONSE } from './codes.ts';
import type { Reply } from './exchanges.ts';
import { emptyMessage, type Message } from './message.ts';
import { PATH, TOKEN, talk } from './test-talk.ts';
import type { Ending } from './transmissions.ts';

const NO_BYTES = Buffer.alloc(0);

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** The message that was sent last. */
function last(sent: readonly Message[]): Message {
  const message = sent.at(-1);
  if (message === undefined) throw new Error('nothing was sent');
  return message;
}

describe('a request to the client', () => {
  /** Asks, and gives what it sent and what became of it. */
  function asking() {
    const bench = talk();
    const replies: Reply[] = [];
    const asked = { method: METHOD.PUT, path: ['19', '1', '0'], payload: Buffer.from('do it') };
    void bench.conversation.ask(asked).then((reply) => replies.push(reply));
    const request = last(bench.sent);
    const answer = (message: Partial<Message>) =>
      bench.say({ code: RESPONSE.CHANGED, token: request.token, options: [], payload: NO_BYTES, ...message });
    const acknowledge = async () => {
      bench.conversation.receive(emptyMessage('ACK', request.id));
      await vi.advanceTimersByTimeAsync(0);
    };
    return { ...bench, request, replies, answer, acknowledge };
  }

  const CHANGED: Reply = { outcome: 'ANSWERED', code: RESPONSE.CHANGED, payload: NO_BYTES };

  test('goes out as the vendor has it, and is answered in its acknowledgement', async () => {
    const { request, replies, answer, sent } = asking();
    expect(request).toMatchObject({ type: 'CON', code: METHOD.PUT, payload: Buffer.from('do it') });
    expect(request.options).toEqual([
      ...['19', '1', '0'].map((part) => ({ number: OPTION.URI_PATH, value: Buffer.from(part) })),
      { number: OPTION.CONTENT_FORMAT, value: Buffer.from([42]) },
    ]);
    await answer({ type: 'ACK', id: request.id, payload: Buffer.from('done') });
    expect(replies).toEqual([{ ...CHANGED, payload: Buffer.from('done') }]);
    await vi.advanceTimersByTimeAsync(100_000);
    expect(sent).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('or later, by a message of its own that is acknowledged, also again', async () => {
    const { replies, answer, acknowledge, sent } = asking();
    await acknowledge();
    await vi.advanceTimersByTimeAsync(20_000);
    await answer({ id: 900, code: RESPONSE.NOT_FOUND });
    await answer({ id: 900, code: RESPONSE.NOT_FOUND });
    expect(replies).toEqual([{ ...CHANGED, code: RESPONSE.NOT_FOUND }]);
    expect(sent.slice(1).map(({ type, id }) => [type, id])).toEqual([
      ['ACK', 900],
      ['ACK', 900],
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('an answer whose acknowledgement was lost stands for it', async () => {
    const { replies, answer, sent } = asking();
    await answer({ type: 'NON', id: 900 });
    await vi.advanceTimersByTimeAsync(100_000);
    expect(replies).toEqual([CHANGED]);
    expect(sent).toHaveLength(1);
  });

  test('is sent again until it is acknowledged, five times in all; then it is lost', async () => {
    const { replies, sent } = asking();
    await vi.advanceTimersByTimeAsync(200_000);
    expect(sent).toHaveLength(5);
    expect(new Set(sent.map(({ id }) => id)).size).toBe(1);
    expect(replies).toEqual([{ outcome: 'LOST' }]);
  });

  test('the client may reset it', async () => {
    const { conversation, request, replies } = asking();
    conversation.receive(emptyMessage('RST', request.id));
    await vi.advanceTimersByTimeAsync(0);
    expect(replies).toEqual([{ outcome: 'RESET' }]);
  });

  test('acknowledged and not answered within 30 s, it is given up, and a later answer reset', async () => {
    const { replies, acknowledge, answer, sent } = asking();
    await acknowledge();
    await vi.advanceTimersByTimeAsync(29_999);
    expect(replies).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(replies).toEqual([{ outcome: 'LATE' }]);
    await answer({ id: 900 });
    expect(last(sent)).toMatchObject({ type: 'RST', id: 900 });
  });

  test('an answer that asks for what is not understood is reset', async () => {
    const { replies, acknowledge, answer, sent } = asking();
    await acknowledge();
    await answer({ id: 900, options: [{ number: 65_001, value: NO_BYTES }] });
    expect(last(sent)).toMatchObject({ type: 'RST', id: 900 });
    expect(replies).toEqual([{ outcome: 'RESET' }]);
  });

  test('each has a token of its own, and gets its own answer', async () => {
    const { conversation, sent, say } = talk();
    const replies = [1, 2].map((number) =>
      conversation.ask({ method: METHOD.PUT, path: [`${number}`], payload: NO_BYTES }),
    );
    const [first, second] = sent;
    await say({ type: 'NON', id: 901, code: RESPONSE.NOT_FOUND, token: second?.token ?? NO_BYTES, options: [] });
    await say({ type: 'NON', id: 902, code: RESPONSE.CHANGED, token: first?.token ?? NO_BYTES, options: [] });
    expect(await Promise.all(replies)).toMatchObject([{ code: RESPONSE.CHANGED }, { code: RESPONSE.NOT_FOUND }]);
  });

  test('the end of the conversation ends it', async () => {
    const { conversation, replies } = asking();
    conversation.close();
    await vi.advanceTimersByTimeAsync(0);
    expect(replies).toEqual([{ outcome: 'CLOSED' }]);
    expect(vi.getTimerCount()).toBe(0);
    expect(await conversation.ask({ method: METHOD.PUT, path: [], payload: NO_BYTES })).toEqual({ outcome: 'CLOSED' });
  });
});

describe('a client that observes', () => {
  const observe = (value: readonly number[]) => [{ number: OPTION.OBSERVE, value: Buffer.from(value) }, ...PATH];

  async function observed() {
    const bench = talk(async () => ({ code: RESPONSE.CONTENT, isObservable: true }));
    await bench.say({ code: METHOD.GET, options: observe([]), payload: NO_BYTES });
    const endings: Ending[] = [];
    const notify = (text: string) =>
      void bench.conversation.notify(Buffer.from(text)).then((ending) => endings.push(ending));
    return { ...bench, endings, notify };
  }

  test('is told so, and each notification goes to its token with a number that grows', async () => {
    const { sent, notify, endings, conversation } = await observed();
    expect(sent).toMatchObject([{ type: 'ACK', options: [{ number: OPTION.OBSERVE, value: NO_BYTES }] }]);
    for (const text of ['one', 'two']) {
      notify(text);
      conversation.receive(emptyMessage('ACK', last(sent).id));
      await vi.advanceTimersByTimeAsync(0);
    }
    expect(endings).toEqual(['ACKNOWLEDGED', 'ACKNOWLEDGED']);
    expect(sent.slice(1)).toMatchObject(
      ['one', 'two'].map((text, index) => ({
        ...{ type: 'CON', code: RESPONSE.CONTENT, token: TOKEN, payload: Buffer.from(text) },
        options: [
          { number: OPTION.OBSERVE, value: Buffer.from([index + 1]) },
          { number: OPTION.CONTENT_FORMAT, value: Buffer.from([42]) },
        ],
      })),
    );
  });

  test.each([
    [
      'a reset',
      ({ conversation, sent }: Awaited<ReturnType<typeof observed>>) =>
        conversation.receive(emptyMessage('RST', last(sent).id)),
      'RESET',
    ],
    ['silence', () => vi.advanceTimersByTimeAsync(200_000), 'LOST'],
    [
      'the end of the conversation',
      ({ conversation }: Awaited<ReturnType<typeof observed>>) => conversation.close(),
      'LOST',
    ],
  ] as const)('%s ends it', async (_name, happens, ending) => {
    const bench = await observed();
    expect(bench.conversation.isObserved).toBe(true);
    bench.notify('one');
    await happens(bench);
    await vi.advanceTimersByTimeAsync(0);
    expect(bench.endings).toEqual([ending]);
    expect(bench.conversation.isObserved).toBe(false);
    const count = bench.sent.length;
    bench.notify('two');
    expect(bench.sent).toHaveLength(count);
  });

  test('so does its word; what it asks for otherwise does not', async () => {
    const { conversation, say, sent } = await observed();
    await say({ code: METHOD.GET, id: 8, payload: NO_BYTES });
    expect(conversation.isObserved).toBe(true);
    await say({ code: METHOD.GET, id: 9, options: observe([1]), payload: NO_BYTES });
    expect(conversation.isObserved).toBe(false);
    expect(last(sent)).toMatchObject({ code: RESPONSE.CONTENT, options: [] });
  });

  test('what may not be observed is not', async () => {
    const { conversation, say } = talk();
    await say({ code: METHOD.GET, options: observe([]), payload: NO_BYTES });
    expect(conversation.isObserved).toBe(false);
  });
});
