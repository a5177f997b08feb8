import { createServer } from 'node:net';
import { createRegistry, SettingsError } from '@latchkey/runtime';
import { afterEach, expect, test } from 'vitest';
import { listenOn } from './listen.ts';
import { metricsListener } from './metrics-listener.ts';

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

test('metrics, life and readiness have each a path', async () => {
  let ready = false;
  const server = metricsListener(createRegistry('test'), () => ready);
  ends.push(() => server.close());
  const { port } = await listenOn(server, '--metrics', { host: '127.0.0.1', port: 0 });
  const code = async (path: string, method = 'GET') =>
    (await fetch(`http://127.0.0.1:${port}${path}`, { method })).status;
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  for (const name of ['process_cpu_seconds_total', 'nodejs_eventloop_lag_p99_seconds']) expect(metrics).toMatch(name);
  expect(await code('/healthz')).toBe(200);
  expect(await code('/readyz')).toBe(503);
  ready = true;
  expect(await code('/readyz')).toBe(200);
  expect(await code('/other')).toBe(404);
  expect(await code('/metrics', 'POST')).toBe(405);
});

test('a port in use is a matter of settings, told by its flag', async () => {
  const [first, second] = [createServer(), createServer()];
  ends.push(() => first.close());
  const { port } = await listenOn(first, '--mqtt', { host: '127.0.0.1', port: 0 });
  const failed = listenOn(second, '--mqtt', { host: '127.0.0.1', port });
  await expect(failed).rejects.toThrow(SettingsError);
  await expect(failed).rejects.toThrow(`--mqtt 127.0.0.1:${port} cannot be listened on (EADDRINUSE)`);
});
