import { create } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { systemClock, systemRandom } from '@latchkey/kernel';
import { DenyReason, GrantedSchema, Protocol } from '@latchkey/protocol/v1';
import { RpcError } from '@latchkey/rpc';
import { createLog, createRegistry } from '@latchkey/runtime';
import { afterEach, expect, test, vi } from 'vitest';
import { type AuthClient, type AuthClientOptions, connectAuth } from './auth-client.ts';
import { gatewayMetrics } from './metrics.ts';
import { denied, granted, TableAuth } from './testing.ts';

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

const ATTEMPT = {
  deviceId: 'd',
  protocol: Protocol.MQTT,
  proof: { kind: { case: 'secret', value: { secret: '12345678' } } },
  source: '127.0.0.1',
} as const;

function client(port: number, more: Partial<AuthClientOptions> = {}): AuthClient {
  const metrics = gatewayMetrics(createRegistry('test'), { sessionsOpen: () => 0, monotonic: systemClock.monotonic });
  const auth = connectAuth({
    ...{ addresses: [{ host: '127.0.0.1', port }], clock: systemClock, random: systemRandom, maxInFlight: 100 },
    ...{ metrics, log: createLog({ service: 'test', level: 'error' }), ...more },
  });
  ends.push(() => auth.close());
  return auth;
}

async function service(): Promise<{ readonly table: TableAuth; readonly port: number }> {
  const table = new TableAuth();
  const port = await table.start();
  ends.push(() => table.stop());
  return { table, port };
}

test('a grant carries credential, revision, end and basis', async () => {
  const { table, port } = await service();
  table.answer = () => ({
    decision: {
      case: 'granted',
      value: create(GrantedSchema, {
        ...{ credentialId: 'c', revision: 7n, basis: Uint8Array.of(1, 2) },
        expiresAt: { seconds: 5n, nanos: 250_000_000 },
      }),
    },
  });
  expect(await client(port).authenticate(ATTEMPT)).toEqual({
    decision: 'GRANTED',
    credentialId: 'c',
    revision: 7n,
    expiresAtMs: 5250,
    basis: Uint8Array.of(1, 2),
  });
});

test('the service gets the attempt as it was made', async () => {
  const { table, port } = await service();
  const seen: unknown[] = [];
  table.answer = ({ deviceId, protocol, proof, source }) => {
    seen.push({ deviceId, protocol, secret: proof?.kind.value, source });
    return granted('c', 1n);
  };
  await client(port).authenticate(ATTEMPT);
  expect(seen).toMatchObject([
    { deviceId: 'd', protocol: Protocol.MQTT, secret: { secret: '12345678' }, source: '127.0.0.1' },
  ]);
});

test('a denial carries its reason', async () => {
  const { table, port } = await service();
  table.answer = () => denied(DenyReason.FROZEN);
  expect(await client(port).authenticate(ATTEMPT)).toEqual({ decision: 'DENIED', reason: DenyReason.FROZEN });
});

test.each([
  [status.UNAVAILABLE, 'UNAVAILABLE'],
  [status.RESOURCE_EXHAUSTED, 'OVERLOADED'],
  [status.INTERNAL, 'FAILED'],
  [status.PERMISSION_DENIED, 'FAILED'],
  [status.UNAUTHENTICATED, 'FAILED'],
] as const)('the error %i is no decision: %s', async (code, cause) => {
  const { table, port } = await service();
  table.answer = () => {
    throw new RpcError(code, 'no');
  };
  expect(await client(port).authenticate(ATTEMPT)).toEqual({ decision: 'NONE', cause });
});

test.each([
  ['nothing', {}],
  ['a grant without a credential', granted('', 1n)],
  ['a denial without a reason', denied(DenyReason.UNSPECIFIED)],
] as const)('an answer with %s is no decision', async (_, answer) => {
  const { table, port } = await service();
  table.answer = () => answer;
  expect(await client(port).authenticate(ATTEMPT)).toEqual({ decision: 'NONE', cause: 'UNREADABLE' });
});

test('no answer within the deadline is no decision', async () => {
  const { table, port } = await service();
  table.answer = () => new Promise(() => undefined);
  expect(await client(port, { deadlineMs: 50 }).authenticate(ATTEMPT)).toEqual({ decision: 'NONE', cause: 'DEADLINE' });
});

test('over the bound there is no decision at once, and under it again there is', async () => {
  const { table, port } = await service();
  const held = Promise.withResolvers<ReturnType<typeof granted>>();
  table.answer = () => held.promise;
  const auth = client(port, { maxInFlight: 2 });
  const first = [auth.authenticate(ATTEMPT), auth.authenticate(ATTEMPT)];
  expect(await auth.authenticate(ATTEMPT)).toEqual({ decision: 'NONE', cause: 'OVERLOADED' });
  held.resolve(granted('c', 1n));
  expect((await Promise.all(first)).map(({ decision }) => decision)).toEqual(['GRANTED', 'GRANTED']);
  expect(await auth.authenticate(ATTEMPT)).toMatchObject({ decision: 'GRANTED' });
});

test('a service that is absent fails fast, and is found when it comes', async () => {
  const { table, port } = await service();
  table.stop();
  const auth = client(port);
  const begun = performance.now();
  expect(await auth.authenticate(ATTEMPT)).toEqual({ decision: 'NONE', cause: 'UNAVAILABLE' });
  expect(performance.now() - begun).toBeLessThan(1000);
  table.answer = () => granted('c', 1n);
  await table.start(port);
  await vi.waitFor(async () => expect(await auth.authenticate(ATTEMPT)).toMatchObject({ decision: 'GRANTED' }), {
    timeout: 20_000,
    interval: 50,
  });
});
