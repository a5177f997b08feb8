import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { granted, TableAuth } from '@latchkey/gateway-kit/testing';
import { parseAddress } from '@latchkey/runtime';
import { expect, onTestFinished, test } from 'vitest';
import { dial, login, until } from '../test-bench.ts';
import { ACCEPT, firstPacket, RawUpstream } from './test-upstream.ts';

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
}, 20_000);
