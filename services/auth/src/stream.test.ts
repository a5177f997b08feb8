import { create } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, credentials, Server, ServerCredentials, status } from '@grpc/grpc-js';
import {
  type AuthenticateResponse,
  AuthenticateResponseSchema,
  type AuthenticateStreamRequest,
  AuthenticateStreamRequestSchema,
  type AuthenticateStreamResponse,
  AuthenticationService,
  DenyReason,
} from '@latchkey/protocol/v1';
import { addService, bidiStream } from '@latchkey/rpc';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Decide } from './authentication.ts';
import { createStreams } from './stream.ts';
import { attempt } from './test-process.ts';
import { type Service, startService } from './test-stores.ts';

type Stream = ClientDuplexStream<AuthenticateStreamRequest, AuthenticateStreamResponse>;
type Result = AuthenticateStreamResponse['answers'][number]['result'];

/** A stream, and what came on it by number: `granted`, a reason of denial, or the code of no decision. */
function openStream(client: Client) {
  const stream: Stream = bidiStream(client, AuthenticationService.method.authenticateStream);
  const answers = new Map<number, string | number | undefined>();
  const sizes: number[] = [];
  const ended = new Promise<status>((resolve) => {
    stream.on('status', ({ code }: { code: status }) => resolve(code));
  });
  stream.on('error', () => undefined); // told by its status
  stream.on('data', (response: AuthenticateStreamResponse) => {
    sizes.push(response.answers.length);
    for (const { number, result } of response.answers) answers.set(number, wordOf(result));
  });
  return { stream, answers, sizes, ended };
}

function wordOf(result: Result): string | number | undefined {
  if (result.case === 'noDecision') return result.value;
  const decision = result.value?.decision;
  return decision?.case === 'denied' ? decision.value.reason : decision?.case;
}

type Question = readonly [number: number, deviceId: string, secret?: string];
const message = (...questions: Question[]) =>
  create(AuthenticateStreamRequestSchema, {
    questions: questions.map(([number, deviceId, secret = SECRET]) => ({ number, attempt: attempt(deviceId, secret) })),
  });
const range = (count: number, from = 0) => Array.from({ length: count }, (_, index) => from + index);

const SECRET = 'first-secret-1';

describe('the service', () => {
  let service: Service;
  beforeEach(async () => {
    service = await startService('embedded');
    const primary = { case: 'secret' as const, value: { value: SECRET } };
    await service.clients.devices.createDevice({ deviceId: 'pump_0', primary });
  });
  afterEach(() => service.stop());

  test('answers each question under its number, whatever becomes of the others', async () => {
    const { stream, answers, ended } = openStream(service.clients.channel);
    stream.write(message([7, 'pump_0'], [8, 'pump_0', 'wrong-secret'], [9, 'nobody'], [10, 'no id!']));
    stream.write(create(AuthenticateStreamRequestSchema, { questions: [{ number: 11 }] }));
    stream.end();
    expect(await ended).toBe(status.OK);
    expect(Object.fromEntries(answers)).toEqual({
      ...{ 7: 'granted', 8: DenyReason.SECRET_MISMATCH, 9: DenyReason.UNKNOWN_DEVICE },
      ...{ 10: status.INVALID_ARGUMENT, 11: status.INVALID_ARGUMENT },
    });
  });

  test('ends its streams when it stops', async () => {
    const { stream, answers, ended } = openStream(service.clients.channel);
    stream.write(message([1, 'nobody']));
    await expect.poll(() => answers.size).toBe(1);
    const stopped = service.stop();
    expect(await ended).toBe(status.OK);
    await stopped;
  });
});

describe('a stream', () => {
  /** What has been asked and is not answered yet. */
  let waiting: { readonly deviceId: string; readonly answer: () => void; readonly fail: () => void }[];
  let asked: number;
  let server: Server;
  let client: Client;
  let streams: ReturnType<typeof createStreams>;
  const RESPONSE: AuthenticateResponse = create(AuthenticateResponseSchema, {
    decision: { case: 'granted', value: { credentialId: 'x'.repeat(16) } },
  });
  /** Devices whose id begins with `cold` are answered when the test says so. */
  const decide: Decide = ({ deviceId }) => {
    asked += 1;
    if (!deviceId.startsWith('cold')) return RESPONSE;
    return new Promise((resolve, reject) => {
      waiting.push({ deviceId, answer: () => resolve(RESPONSE), fail: () => reject(new Error('away')) });
    });
  };

  beforeEach(async () => {
    [waiting, asked] = [[], 0];
    server = new Server();
    streams = createStreams({ decide, codeOf: () => status.UNAVAILABLE });
    const options = { translate: () => undefined, observe: () => undefined, monotonic: () => 0 };
    addService(server, AuthenticationService, { authenticateStream: (call) => streams.open(call) }, options);
    const port = await new Promise<number>((resolve, reject) => {
      const done = (error: Error | null, bound: number) => (error ? reject(error) : resolve(bound));
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), done);
    });
    client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  });
  afterEach(() => {
    client.close();
    server.forceShutdown();
  });

  test('answers in one message what is decided at once, and does not hold it up for what waits', async () => {
    const { stream, answers, sizes } = openStream(client);
    stream.write(message([100, 'cold_1'], ...range(30).map((number): Question => [number, 'warm']), [101, 'cold_2']));
    await expect.poll(() => answers.size).toBe(30);
    expect(sizes).toEqual([30]);
    waiting[1]?.answer();
    await expect.poll(() => answers.get(101)).toBe('granted');
    expect(answers.has(100)).toBe(false);
    waiting[0]?.fail();
    await expect.poll(() => answers.get(100)).toBe(status.UNAVAILABLE);
  });

  test('answers together what came to be decided together', async () => {
    const { stream, answers, sizes } = openStream(client);
    stream.write(message(...range(20).map((number): Question => [number, 'cold'])));
    await expect.poll(() => waiting.length).toBe(20);
    for (const { answer } of waiting) answer();
    await expect.poll(() => answers.size).toBe(20);
    expect(sizes).toEqual([20]);
  });

  test('ends when the last question is answered, not before', async () => {
    const { stream, answers, ended } = openStream(client);
    stream.write(message([1, 'cold']));
    stream.end();
    await expect.poll(() => waiting.length).toBe(1);
    expect(answers.size).toBe(0);
    waiting[0]?.answer();
    expect(await ended).toBe(status.OK);
    expect([...answers]).toEqual([[1, 'granted']]);
  });

  test('of a service that stops takes no more questions and answers those it has', async () => {
    const { stream, answers, ended } = openStream(client);
    stream.write(message([1, 'cold']));
    await expect.poll(() => waiting.length).toBe(1);
    streams.close();
    stream.write(message([2, 'warm']));
    await expect.poll(() => answers.get(2)).toBe(status.UNAVAILABLE);
    waiting[0]?.answer();
    expect(await ended).toBe(status.OK);
    expect(answers.get(1)).toBe('granted');
    expect(asked).toBe(1);
  });

  test.each([
    ['no question', message()],
    ['257 questions', message(...range(257).map((number): Question => [number, 'warm']))],
  ])('is ended by a message with %s', async (_what, request) => {
    const { stream, ended } = openStream(client);
    stream.write(request);
    expect(await ended).toBe(status.INVALID_ARGUMENT);
    expect(asked).toBe(0);
  });

  test('is not read from while 4096 of its questions wait', async () => {
    const { stream, answers } = openStream(client);
    const total = 64 * 256;
    for (const at of range(64))
      stream.write(message(...range(256, at * 256).map((number): Question => [number, 'cold'])));
    await expect.poll(() => asked).toBeGreaterThanOrEqual(4_096);
    // What had been read from the connection before is still handed over: a few messages.
    expect(asked).toBeLessThan(total / 2);
    while (answers.size < total) {
      for (const { answer } of waiting.splice(0)) answer();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(asked).toBe(total);
  });

  test('is not read from while its answers are not, and none is lost', async () => {
    const { stream, answers } = openStream(client);
    stream.pause();
    const total = 120 * 256;
    for (const at of range(120))
      stream.write(message(...range(256, at * 256).map((number): Question => [number, 'warm'])));
    // The windows of HTTP/2 fill up, and then it stands still.
    let before = -1;
    const still = () => {
      const same = asked === before;
      before = asked;
      return same && asked > 0;
    };
    await expect.poll(still, { timeout: 20_000, interval: 300 }).toBe(true);
    expect(asked).toBeLessThan(total);
    stream.resume();
    await expect.poll(() => answers.size, { timeout: 20_000 }).toBe(total);
  });

  test('that its gateway drops is forgotten, and late answers with it', async () => {
    const { stream, answers } = openStream(client);
    stream.write(message([1, 'cold']));
    await expect.poll(() => waiting.length).toBe(1);
    expect(streams.count()).toBe(1);
    stream.cancel();
    await expect.poll(() => streams.count()).toBe(0);
    waiting[0]?.answer();
    await new Promise((resolve) => setImmediate(resolve));
    expect(answers.size).toBe(0);
  });
});
