import { create } from '@bufbuild/protobuf';
import { Client, credentials, status } from '@grpc/grpc-js';
import { AuthenticateRequestSchema, AuthenticationService, DenyReason, Protocol } from '@latchkey/protocol/v1';
import { bidiStream, RpcError, unaryMethod } from '@latchkey/rpc';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { QuestionStream } from './question-stream.ts';
import { denied, granted, TableAuth } from './testing.ts';

let auth: TableAuth;
let port: number;
let client: Client;
let stream: QuestionStream;
let nowMs: number;

beforeEach(async () => {
  auth = new TableAuth();
  auth.answer = ({ deviceId }) => granted(`of-${deviceId}`, 1n);
  port = await auth.start();
  client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  nowMs = 0;
  const { authenticate, authenticateStream } = AuthenticationService.method;
  stream = new QuestionStream({
    open: () => bidiStream(client, authenticateStream),
    unary: unaryMethod(client, authenticate, Date.now),
    monotonic: () => nowMs,
  });
});
afterEach(() => {
  stream.close();
  client.close();
  auth.stop();
});

const attemptOf = (deviceId: string) =>
  create(AuthenticateRequestSchema, {
    ...{ deviceId, protocol: Protocol.MQTT },
    proof: { kind: { case: 'secret', value: { secret: '12345678' } } },
  });
/** The credential that was granted, a reason of denial, or the code of no decision. */
const ask = (deviceId: string, deadlineMs = 5_000) =>
  stream.ask(attemptOf(deviceId), deadlineMs).then(
    ({ decision }) => (decision.case === 'granted' ? decision.value.credentialId : decision.value?.reason),
    (error: RpcError) => status[error.code],
  );
const many = (count: number) => Promise.all(Array.from({ length: count }, (_, index) => ask(`d${index}`)));
const rightly = (count: number) => Array.from({ length: count }, (_, index) => `of-d${index}`);

test('what is asked in one turn goes out together, and each question gets its own answer', async () => {
  expect(await many(300)).toEqual(rightly(300));
  expect(auth.batches).toEqual([256, 44]);
  expect(await ask('alone')).toBe('of-alone');
  expect(auth.batches).toEqual([256, 44, 1]);
});

test('a denial and a question that could not be decided are told apart', async () => {
  auth.answer = ({ deviceId }) => {
    if (deviceId === 'away') throw new RpcError(status.UNAVAILABLE, 'no lease');
    return deviceId === 'wrong' ? denied(DenyReason.SECRET_MISMATCH) : granted('c', 1n);
  };
  expect(await Promise.all([ask('away'), ask('wrong'), ask('right')])).toEqual([
    'UNAVAILABLE',
    DenyReason.SECRET_MISMATCH,
    'c',
  ]);
});

test('a question that waits for an answer holds up no other, and ends at its deadline', async () => {
  const held = Promise.withResolvers<ReturnType<typeof granted>>();
  auth.answer = ({ deviceId }) => (deviceId === 'slow' ? held.promise : granted(`of-${deviceId}`, 1n));
  const slow = ask('slow', 300);
  expect(await many(10)).toEqual(rightly(10));
  expect(await slow).toBe('DEADLINE_EXCEEDED');
  held.resolve(granted('late', 1n));
  expect(await many(10)).toEqual(rightly(10));
});

test('a question that is late before it goes out is not sent', async () => {
  await ask('first');
  const asked: string[] = [];
  auth.answer = ({ deviceId }) => {
    asked.push(deviceId);
    return granted('c', 1n);
  };
  // From here timers are looked at once more before anything is sent.
  await new Promise((resolve) => setImmediate(resolve));
  const late = ask('late', 1);
  const begun = performance.now();
  while (performance.now() < begun + 5);
  expect(await late).toBe('DEADLINE_EXCEEDED');
  expect(await ask('next')).toBe('c');
  expect(asked).toEqual(['next']);
});

test('a stream that is lost answers every question with UNAVAILABLE, and the next question opens another one', async () => {
  auth.answer = () => new Promise(() => undefined);
  const waiting = many(20);
  await expect.poll(() => auth.batches).toEqual([20]);
  auth.stop();
  expect(new Set(await waiting)).toEqual(new Set(['UNAVAILABLE']));
  auth.answer = ({ deviceId }) => granted(`of-${deviceId}`, 1n);
  await auth.start(port);
  await expect.poll(() => ask('back'), { timeout: 20_000 }).toBe('of-back');
});

test('a service that is not there is told at once, not at the deadline', async () => {
  await ask('first');
  auth.stop();
  await expect.poll(() => ask('away', 60_000), { timeout: 20_000 }).toBe('UNAVAILABLE');
});

test('a service that knows no stream is asked call by call, for a while', async () => {
  auth.streaming = false;
  expect(await many(20)).toEqual(rightly(20));
  auth.streaming = true;
  nowMs = 59_999;
  expect(await many(20)).toEqual(rightly(20));
  expect(auth.batches).toEqual([]);
  nowMs = 60_000;
  expect(await many(20)).toEqual(rightly(20));
  expect(auth.batches).toEqual([20]);
});

test('certificates go out in messages that the service takes', async () => {
  const chain = [new Uint8Array(16_384), new Uint8Array(16_384)];
  const proof = { kind: { case: 'certificate' as const, value: { chain } } };
  const attempt = create(AuthenticateRequestSchema, { deviceId: 'd', protocol: Protocol.MQTT, proof });
  await Promise.all(Array.from({ length: 10 }, () => stream.ask(attempt, 5_000)));
  expect(auth.batches).toEqual([4, 4, 2]);
});

test('once closed, what is open ends', async () => {
  auth.answer = () => new Promise(() => undefined);
  const waiting = ask('d');
  await expect.poll(() => auth.batches).toEqual([1]);
  stream.close();
  expect(await waiting).toBe('UNAVAILABLE');
});
