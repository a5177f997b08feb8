import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createLog } from '@latchkey/runtime';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { ByteBudget } from './coap/byte-budget.ts';
import { METHOD, OPTION, RESPONSE } from './coap/codes.ts';
import { encodeMessage, type Message } from './coap/message.ts';
import { textOption, uintOption } from './coap/options.ts';
import { Receivers } from './receivers.ts';
import { closeGateway, granted, linked, sessions } from './test-linked.ts';

/** Each of some 17 messages. More when asked for: `npm run fuzz`. */
const SESSIONS = Number(process.env['COAP_FUZZ_SESSIONS'] ?? 1_000);
const SEED = Number(process.env['FUZZ_SEED'] ?? 20_261_123);

/** Some 1 ms each on an idle machine; the rest is for a busy one. */
const TIMEOUT_MS = 30_000 + SESSIONS * 12;

afterAll(closeGateway);

const PATHS = ['rd', 'rd/fuzzed', '.well-known/core', 'v5/devices/fuzzed/sys/messages/up', 'nowhere'].concat([
  'v5/devices/fuzzed/sys/messages/down',
  'v5/devices/fuzzed/sys/properties/report',
  'v5/devices/other/sys/messages/up',
]);

/** Options that say something here, with values that may not fit them. */
const option = fc.oneof(
  fc.constantFrom(...PATHS).map((path) => path.split('/').map((part) => textOption(OPTION.URI_PATH, part))),
  fc
    .constantFrom('ep=fuzzed', 'ep=other', 'lt=1', 'lt=99999', 'lt=0')
    .map((text) => [textOption(OPTION.URI_QUERY, text)]),
  fc
    .tuple(fc.constantFrom(OPTION.OBSERVE, OPTION.BLOCK1, OPTION.BLOCK2, OPTION.SIZE1), fc.nat(0xffff))
    .map(([number, value]) => [uintOption(number, value)]),
  fc
    .tuple(fc.nat(70), fc.uint8Array({ maxLength: 12 }))
    .map(([number, value]) => [{ number, value: Buffer.from(value) }]),
);

const message: fc.Arbitrary<Message> = fc.record({
  type: fc.constantFrom('CON', 'CON', 'NON', 'ACK', 'RST'),
  code: fc.constantFrom(0, ...Object.values(METHOD), ...Object.values(METHOD), RESPONSE.CHANGED, RESPONSE.NOT_FOUND),
  id: fc.oneof(fc.nat(60), fc.constantFrom(0x0707, 0x0708, 0x0709)),
  // Those that the gateway takes for its own requests are among them.
  token: fc.constantFrom('', 'tk', '\x07\x07\x07\x07', '\x07\x07\x07\x08').map((text) => Buffer.from(text, 'latin1')),
  options: fc.array(option, { maxLength: 4 }).map((all) => all.flat()),
  payload: fc.constantFrom(0, 1, 16, 64, 1_024, 1_100).map((size) => Buffer.alloc(size, '{')),
});

/** What a device says that knows what there is; the rest as above. */
const sound: fc.Arbitrary<Message> = fc
  .tuple(
    message,
    fc.constantFrom(
      [METHOD.POST, 'rd', 'ep=fuzzed'],
      [METHOD.POST, 'rd/fuzzed', 'lt=60'],
      [METHOD.DELETE, 'rd/fuzzed'],
      [METHOD.POST, 'v5/devices/fuzzed/sys/messages/up'],
      [METHOD.GET, 'v5/devices/fuzzed/sys/messages/down'],
    ),
    fc.constantFrom(...[[], [], [uintOption(OPTION.OBSERVE, 0)]], [uintOption(OPTION.BLOCK1, 8)]),
  )
  .map(([whole, [code, path, ...query], more]) => ({
    ...{ ...whole, type: 'CON', code: Number(code), payload: whole.payload.subarray(0, 16) },
    options: [
      ...String(path)
        .split('/')
        .map((part) => textOption(OPTION.URI_PATH, part)),
      ...query.map((text) => textOption(OPTION.URI_QUERY, String(text))),
      ...more,
    ],
  }));

/** What answers a request of the gateway's own, by its first token or its second. */
const answer: fc.Arbitrary<Message> = fc
  .tuple(message, fc.constantFrom(8, 9), fc.constantFrom(RESPONSE.CHANGED, RESPONSE.NOT_FOUND))
  .map(([whole, last, code]) => ({ ...whole, code, token: Buffer.from([7, 7, 7, last]), options: [] }));

/** A message as it is, or with bytes that are changed, cut off or put in. */
const datagram = fc
  .tuple(fc.oneof(message, sound, answer), fc.nat(3), fc.nat(200), fc.nat(255), fc.nat(2))
  .map(([whole, luck, at, byte, kind]) => {
    const bytes = encodeMessage(whole);
    if (luck > 0) return bytes;
    const place = at % (bytes.length + 1);
    const [head, tail] = [bytes.subarray(0, place), bytes.subarray(place)];
    return Buffer.concat([
      head,
      ...(kind === 0 ? [] : [Buffer.from([byte])]),
      ...(kind === 2 ? [tail.subarray(1)] : []),
    ]);
  });

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

test('sessions of any messages: no error, nothing of another device, and nothing left behind', {
  timeout: TIMEOUT_MS,
}, async () => {
  const lines: string[] = [];
  const log = createLog({ service: 'test', level: 'warn', to: { write: (line) => void lines.push(line) } });
  const [receivers, budget] = [new Receivers(), new ByteBudget(100_000)];
  const codes = new Map<number, number>();
  let delivered = 0;
  const session = async (datagrams: readonly Buffer[], command: string) => {
    const link = linked(granted('fuzzed'), { receivers, budget, log });
    for (const each of datagrams) {
      link.hear(each);
      receivers.of('fuzzed')?.receive({
        ...{ kind: 'COMMAND', payload: Buffer.from(command) },
        ended: ({ outcome }) => (delivered += outcome === 'ANSWERED' ? 1 : 0),
      });
      await turn();
    }
    link.session.close();
    await turn();
    for (const { code } of link.sent) codes.set(code, (codes.get(code) ?? 0) + 1);
    expect(link.upstream.filter((line) => !line.startsWith('$oc/devices/fuzzed/sys/'))).toEqual([]);
    expect([sessions.size, receivers.size, budget.held]).toEqual([0, 0, 0]);
  };
  const run = async (numRuns: number, seed: number) => {
    await fc.assert(
      fc.asyncProperty(fc.array(datagram, { minLength: 5, maxLength: 30, size: 'max' }), fc.string(), session),
      { numRuns, seed },
    );
    return heapBytes();
  };
  const before = await run(SESSIONS / 2, SEED);
  const after = await run(SESSIONS / 2, SEED + 1);
  expect(lines).toEqual([]);
  // Enough of them went far enough to be of use.
  for (const code of [RESPONSE.CREATED, RESPONSE.CHANGED, RESPONSE.CONTENT, RESPONSE.CONTINUE, METHOD.PUT])
    expect(codes.get(code)).toBeGreaterThan(SESSIONS / 100);
  expect(delivered).toBeGreaterThan(SESSIONS / 100);
  expect(after - before).toBeLessThan(10_000_000);
});
