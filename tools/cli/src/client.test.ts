import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Code, ConnectError, type ServiceImpl } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { DeviceService } from '@latchkey/protocol/v1';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { connectTo } from './client.ts';
import { CliError, explain } from './errors.ts';

let dir: string;
let server: Server;
let admin: string;
let handler: NonNullable<Partial<ServiceImpl<typeof DeviceService>>['deleteDevice']>;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'latchkey-client-'));
  await writeFile(join(dir, 'operator.token'), 'a-token\n');
  handler = () => ({});
  const routes = connectNodeAdapter({
    routes: (router) => router.service(DeviceService, { deleteDevice: (...args) => handler(...args) }),
  });
  server = createServer(routes);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  admin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await rm(dir, { recursive: true });
});

/** Calls that fail with these codes, and then succeed; the request ids that came. */
function failing(...codes: readonly Code[]): string[] {
  const ids: string[] = [];
  handler = ({ requestId }) => {
    const code = codes[ids.push(requestId) - 1];
    if (code !== undefined) throw new ConnectError('the store is away', code);
    return {};
  };
  return ids;
}

async function remove(): Promise<unknown> {
  const api = await connectTo({ admin, dataDir: dir }, undefined);
  return api.write(() => api.devices.deleteDevice({ deviceId: 'd', requestId: 'r' }));
}

const failure = (code: string, exitCode: number, message: string) =>
  expect.objectContaining({ name: 'CliError', code, exitCode, message });

test('the token goes with every call', async () => {
  const seen: (string | null)[] = [];
  handler = (_, context) => {
    seen.push(context.requestHeader.get('authorization'));
    return {};
  };
  await remove();
  expect(seen).toEqual(['Bearer a-token']);
});

test.each([Code.Unavailable, Code.DeadlineExceeded])(
  'a write that found nobody (%i) is repeated with the same id',
  async (code) => {
    const ids = failing(code);
    await remove();
    expect(ids).toEqual(['r', 'r']);
  },
);

test('it is repeated once', async () => {
  const ids = failing(Code.Unavailable, Code.Unavailable);
  await expect(remove()).rejects.toEqual(failure('unavailable', 6, 'the store is away'));
  expect(ids).toHaveLength(2);
});

test('a refusal is not repeated', async () => {
  const ids = failing(Code.Aborted);
  await expect(remove()).rejects.toEqual(failure('aborted', 5, 'the store is away'));
  expect(ids).toHaveLength(1);
});

test('a read is not repeated', async () => {
  const ids = failing(Code.Unavailable);
  const api = await connectTo({ admin, dataDir: dir }, undefined);
  const attempt = api.call(() => api.devices.deleteDevice({ deviceId: 'd', requestId: 'r' }));
  await expect(attempt).rejects.toBeInstanceOf(CliError);
  expect(ids).toHaveLength(1);
});

test('another service at the address is told as such', async () => {
  const api = await connectTo({ admin, dataDir: dir }, undefined);
  await expect(api.call(() => api.credentials.tryProof({}))).rejects.toEqual(
    failure(
      'unimplemented',
      1,
      `${admin} does not offer this: is it the operators' address of a Latchkey of this version?`,
    ),
  );
});

test('damaged endpoints are told, not passed over', async () => {
  await writeFile(join(dir, 'endpoints.json'), '{');
  await expect(connectTo({ admin, dataDir: dir }, undefined)).rejects.toMatchObject({ code: 'endpoints', exitCode: 1 });
});

test('a server that does not answer in time is unavailable', () => {
  const error = new ConnectError('the operation timed out', Code.DeadlineExceeded);
  expect(explain(error, { admin, tokenFrom: 't', deadlineMs: 10_000 })).toEqual(
    failure('deadline_exceeded', 6, `no answer from ${admin} within 10 s`),
  );
});
