import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { granted, TableAuth } from '@latchkey/gateway-kit/testing';
import { parseAddress } from '@latchkey/runtime';
import { expect, onTestFinished, test } from 'vitest';
import { dial, login, until } from '../test-bench.ts';
import { newAuthority } from '../test-certificates.ts';
import { ACCEPT, firstPacket, RawUpstream, startTlsBroker } from './test-upstream.ts';

const MAIN = join(import.meta.dirname, '../main.ts');

/** Resolves with the service's ready line. */
async function ready(child: ChildProcess): Promise<Record<string, string>> {
  const [line] = await once(child.stdout ?? child, 'data');
  return JSON.parse(String(line));
}

test('the service takes its broker from the command line and the password from the environment', async () => {
  const [table, upstream] = [new TableAuth(), new RawUpstream()];
  table.answer = () => granted('c', 1n);
  upstream.answer(ACCEPT[4]);
  const [auth, broker] = [await table.start(), await upstream.start()];
  const listeners = ['--mqtt', '127.0.0.1:0', '--metrics', '127.0.0.1:0', '--auth', `127.0.0.1:${auth}`];
  const child = spawn(process.execPath, [MAIN, ...listeners, '--upstream', `mqtt://127.0.0.1:${broker}`], {
    env: { ...process.env, LATCHKEY_UPSTREAM_PASSWORD: 'from the environment' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  onTestFinished(async () => {
    if (child.exitCode === null) child.kill('SIGKILL');
    table.stop();
    await upstream.stop();
  });
  const { port } = parseAddress((await ready(child))['mqtt'] ?? '');
  await until(async () => typeof (await dial(port, login('d'))) === 'object');
  const connect = firstPacket(upstream.links[0]?.received() ?? Buffer.alloc(0));
  expect(connect).toMatchObject({ username: 'd', password: Buffer.from('from the environment') });
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);
});

test('SIGHUP has the certificates of the way to the broker read again', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-hangup-'));
  const [authority, former, table] = [await newAuthority('Brokers'), await newAuthority('Former'), new TableAuth()];
  const broker = await startTlsBroker(await authority.issue('localhost'), authority.cert);
  const files = { ca: join(folder, 'ca.pem'), cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  const write = async (from: typeof authority) => {
    const { cert, key } = await from.issue('gateway');
    await Promise.all([writeFile(files.ca, from.cert), writeFile(files.cert, cert), writeFile(files.key, key)]);
  };
  await write(former);
  table.answer = () => granted('c', 1n);
  const listeners = ['--mqtt', '127.0.0.1:0', '--metrics', '127.0.0.1:0', '--auth', `127.0.0.1:${await table.start()}`];
  const tls = ['--upstream-ca', files.ca, '--upstream-cert', files.cert, '--upstream-key', files.key];
  const url = ['--upstream', `mqtts://localhost:${broker.port}`];
  const child = spawn(process.execPath, [MAIN, ...listeners, ...url, ...tls], { stdio: ['ignore', 'pipe', 'ignore'] });
  onTestFinished(async () => {
    if (child.exitCode === null) child.kill('SIGKILL');
    table.stop();
    broker.stop();
    await rm(folder, { recursive: true });
  });
  const { port } = parseAddress((await ready(child))['mqtt'] ?? '');
  const attempt = () => dial(port, login('d'));
  // Until the gateway has its place in the log of changes it answers the same code.
  await until(() => broker.closings.length > 0 || attempt().then(() => false));
  expect(await attempt()).toBe(3);
  await write(authority);
  expect(await attempt()).toBe(3);
  child.kill('SIGHUP');
  await until(async () => typeof (await attempt()) === 'object');
});
