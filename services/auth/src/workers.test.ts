import { readFileSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { Client, credentials } from '@grpc/grpc-js';
import { systemRandom } from '@latchkey/kernel';
import { AuthenticationService, CredentialService, GetReplicaRequestSchema, Slot } from '@latchkey/protocol/v1';
import { unaryMethod } from '@latchkey/rpc';
import { SettingsError } from '@latchkey/runtime';
import { generateKeyLine } from '@latchkey/store';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { readConfig } from './config.ts';
import { type AuthProcess, attempt, type Clients, freshDirectory, operatorOf, startProcess } from './test-process.ts';
import { type RedisServer, startRedisServer } from './test-stores.ts';

const UNTIL = { timeout: 30_000, interval: 50 };
const { authenticate, getReplica } = AuthenticationService.method;

let directory: Awaited<ReturnType<typeof freshDirectory>>;
let redis: RedisServer;
let service: AuthProcess;
let operator: Clients;
const connections: Client[] = [];

beforeAll(async () => {
  directory = await freshDirectory();
  redis = await startRedisServer();
  service = await start();
  operator = operatorOf(service.ready);
  await operator.devices.createDevice({
    deviceId: 'd',
    primary: { case: 'secret', value: { value: 'secret-number-0' } },
  });
});
afterAll(async () => {
  for (const connection of connections) connection.close();
  operator.channel.close();
  await service.stop('SIGKILL');
  await redis.stop();
  await directory.remove();
});

const start = (...more: readonly string[]) =>
  startProcess(['--data-dir', directory.path, '--store', redis.url, '--workers', '2', ...more]);

/** The processes that listen, oldest first, as the log has them. */
const listening = (of = service) =>
  of
    .log()
    .split('\n')
    .filter((line) => line.includes('"a worker listens"'))
    .map((line) => JSON.parse(line) as { readonly worker: number; readonly pid: number });

const lives = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

/** A connection of its own, and which worker it has reached. */
async function connect() {
  const connection = new Client(service.ready?.grpc ?? '', credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  connections.push(connection);
  const { replicaId, sharing } = await unaryMethod(
    connection,
    getReplica,
    Date.now,
  )(create(GetReplicaRequestSchema), 5_000);
  expect(sharing).toBe(2);
  const ask = unaryMethod(connection, authenticate, Date.now);
  return { replicaId, ask: async (secret: string) => (await ask(attempt('d', secret), 5_000)).decision.case };
}

/** A connection to each worker. */
async function connectToBoth() {
  const found = new Map<string, Awaited<ReturnType<typeof connect>>>();
  await vi.waitFor(async () => {
    const connection = await connect();
    found.set(connection.replicaId, connection);
    expect(found.size).toBe(2);
  }, UNTIL);
  return [...found.values()];
}

/** Resets the primary over a connection of its own, so that the workers take turns. */
async function reset(value: string): Promise<void> {
  const token = readFileSync(service.ready?.token ?? '', 'utf8').trim();
  const transport = createConnectTransport({
    baseUrl: service.ready?.admin ?? '',
    httpVersion: '1.1',
    nodeOptions: { agent: new Agent({ keepAlive: false }) },
    interceptors: [
      (next) => (request) => {
        request.header.set('authorization', `Bearer ${token}`);
        return next(request);
      },
    ],
  });
  const credential = { case: 'secret', value: { value } } as const;
  await createClient(CredentialService, transport).resetCredential({ deviceId: 'd', slot: Slot.PRIMARY, credential });
}

const page = async (path: string) => (await fetch(`${service.ready?.admin}${path}`)).text();

test('what one worker has reset the other one accepts no more, from the moment of the answer', async () => {
  const workers = await connectToBoth();
  const said = (secret: string) => Promise.all(workers.map(({ ask }) => ask(secret)));
  for (let round = 1; round <= 10; round++) {
    const [old, next] = [`secret-number-${round - 1}`, `secret-number-${round}`];
    expect(await said(old)).toEqual(['granted', 'granted']); // both have the record in memory now
    await reset(next);
    expect(await said(old)).toEqual(['denied', 'denied']);
    expect(await said(next)).toEqual(['granted', 'granted']);
  }
});

const RESETS = /_duration_seconds_count\{[^}]*method="ResetCredential",code="OK"/;

test('one address tells of all workers, whichever is asked', async () => {
  for (let count = 0; count < 3; count++) {
    const metrics = await page('/metrics');
    for (const worker of [1, 2]) {
      const labels = `service="auth",worker="${worker}"`;
      expect(metrics).toContain(`\nlatchkey_decisions_total{outcome="granted",${labels}} 20\n`);
      const resets = metrics.split('\n').find((line) => RESETS.test(line) && line.includes(labels));
      expect(resets).toMatch(/ [1-9]$/);
    }
    expect(metrics).toMatch(/^latchkey_workers\{[^}]*\} 2$/m);
    expect(await page('/healthz')).toBe('{"healthy":true}\n');
  }
});

test('SIGHUP reaches every worker', async () => {
  const keys = join(directory.path, 'sealing.key');
  writeFileSync(keys, `${generateKeyLine('k2', systemRandom)}\n${readFileSync(keys, 'utf8')}`);
  service.child.kill('SIGHUP');
  const rotated = (worker: number) => new RegExp(`"worker":${worker},.*"current":"k2","msg":"sealing keys read anew"`);
  await vi.waitFor(() => {
    expect(service.log()).toMatch(rotated(1));
    expect(service.log()).toMatch(rotated(2));
  }, UNTIL);
});

test('a worker that dies takes no other along, and another one takes its place', async () => {
  const [survivor] = listening().slice(-1);
  const killed = listening()[0]?.pid ?? 0;
  const workers = await connectToBoth();
  process.kill(killed, 'SIGKILL');
  await vi.waitFor(() => expect(lives(killed)).toBe(false), UNTIL);
  const said = await Promise.allSettled(workers.map(({ ask }) => ask('secret-number-10')));
  expect(said).toContainEqual({ status: 'fulfilled', value: 'granted' });
  expect(await page('/healthz')).toBe('{"healthy":true}\n');
  await vi.waitFor(() => expect(listening()).toHaveLength(3), UNTIL);
  expect(listening()[2]?.worker).toBe(1);
  expect(lives(survivor?.pid ?? 0)).toBe(true);
  for (const worker of await connectToBoth()) expect(await worker.ask('secret-number-10')).toBe('granted');
  expect(await page('/metrics')).toMatch(/^latchkey_worker_restarts_total\{worker="1",[^}]*\} 1$/m);
});

test('a stop ends every process', async () => {
  expect(await service.stop()).toBe(0);
  expect(listening().filter(({ pid }) => lives(pid))).toEqual([]);
  for (const worker of [1, 2]) expect(service.log()).toContain(`"worker":${worker},"msg":"stopped"`);
});

test('workers whose starter was killed stop in order', async () => {
  const other = await start('--new-operator-token');
  await other.stop('SIGKILL');
  await vi.waitFor(() => expect(listening(other).filter(({ pid }) => lives(pid))).toEqual([]), UNTIL);
  expect(other.log().match(/"msg":"stopped"/g)).toHaveLength(2);
  expect(other.log().match(/"origin":"MADE"/g)).toHaveLength(1);
  expect(other.log().match(/"origin":"FOUND"/g)).toHaveLength(1);
});

test('several workers need a Redis, and refuse what one refuses', async () => {
  expect(() => readConfig(['--workers', '2'], undefined)).toThrow(SettingsError);
  expect(() => readConfig(['--workers', '2'], undefined)).toThrow(/give a Redis by --store/);
  const refused = await start('--key-command', 'exit 3');
  expect(await refused.exit).toBe(2);
  expect(refused.log()).toContain('gave no keys: it ended with 3');
  expect(refused.log()).toContain('worker 1 refuses these settings');
});
