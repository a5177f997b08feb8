import { create } from '@bufbuild/protobuf';
import { Client, credentials, Server, ServerCredentials, status } from '@grpc/grpc-js';
import {
  AuthenticateRequestSchema,
  type AuthenticateResponse,
  AuthenticateResponseSchema,
  AuthenticationService,
} from '@latchkey/protocol/v1';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { addService, type CallObserver, RpcError, unaryMethod, validate } from './index.ts';

type Seen = Parameters<CallObserver>[0];

let server: Server;
let channel: Client;
let seen: Seen[];
let answer: () => AuthenticateResponse | Promise<AuthenticateResponse>;
const response = create(AuthenticateResponseSchema, { cacheAgeMs: 7 });

beforeEach(async () => {
  seen = [];
  server = new Server();
  addService(
    server,
    AuthenticationService,
    { authenticate: () => answer() },
    {
      translate: (error) => (error instanceof TypeError ? new RpcError(status.UNAVAILABLE, 'away') : undefined),
      observe: (call) => seen.push(call),
      monotonic: () => performance.now(),
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  channel = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
});
afterEach(() => {
  channel.close();
  server.forceShutdown();
});

const ask = (deadlineMs = 5_000) =>
  unaryMethod(
    channel,
    AuthenticationService.method.authenticate,
    Date.now,
  )(create(AuthenticateRequestSchema, {}), deadlineMs);

test('a handler answers at once or by promise', async () => {
  answer = () => response;
  expect((await ask()).cacheAgeMs).toBe(7);
  answer = async () => response;
  expect((await ask()).cacheAgeMs).toBe(7);
  expect(seen.map(({ method, code, hidden }) => [method, code, hidden])).toEqual([
    ['Authenticate', status.OK, undefined],
    ['Authenticate', status.OK, undefined],
  ]);
});

test.each([
  ['what is meant for the caller', new RpcError(status.ABORTED, 'told'), status.ABORTED, 'told'],
  ['what is translated', new TypeError('canary'), status.UNAVAILABLE, 'away'],
  ['what is unknown', new Error('canary'), status.INTERNAL, 'internal error; the service log has the cause'],
])('an error shows %s, thrown or rejected', async (_, error, code, details) => {
  answer = () => {
    throw error;
  };
  await expect(ask()).rejects.toMatchObject({ code, details });
  answer = () => Promise.reject(error);
  await expect(ask()).rejects.toMatchObject({ code, details });
  expect(seen.map((call) => call.code)).toEqual([code, code]);
  expect(seen[0]?.hidden).toBe(code === status.INTERNAL ? error : undefined);
});

test('a call ends at its deadline', async () => {
  answer = () => new Promise(() => undefined);
  await expect(ask(100)).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED });
});

test('a method without a handler is UNIMPLEMENTED', async () => {
  const mint = unaryMethod(channel, AuthenticationService.method.mintToken, Date.now);
  await expect(mint(create(AuthenticationService.method.mintToken.input, {}), 5_000)).rejects.toMatchObject({
    code: status.UNIMPLEMENTED,
  });
});

test('a refusal names fields and rules, never values', () => {
  const proof = { kind: { case: 'digest' as const, value: { timestamp: 'canary', password: 'canary'.repeat(50) } } };
  const request = create(AuthenticateRequestSchema, { deviceId: 'canary!', protocol: 1, proof });
  const refusal = (() => {
    try {
      validate(AuthenticateRequestSchema, request);
      return undefined;
    } catch (error) {
      return error;
    }
  })();
  expect(refusal).toBeInstanceOf(RpcError);
  expect(refusal).toMatchObject({ code: status.INVALID_ARGUMENT, message: expect.not.stringContaining('canary') });
  for (const field of ['device_id', 'proof.digest.timestamp', 'proof.digest.password']) {
    expect((refusal as RpcError).message).toContain(`${field}: `);
  }
});
