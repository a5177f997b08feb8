import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { SettingsError } from '@latchkey/runtime';
import { expect, test } from 'vitest';
import { readConfig } from './config.ts';

const MAIN = join(import.meta.dirname, 'main.ts');

/** Runs the service until it exits or says that it is ready; then SIGTERM. */
async function run(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const child = spawn(process.execPath, [MAIN, ...args], { env: { ...process.env, ...environment } });
  let [said, logged] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => {
    said += text;
    child.kill('SIGTERM');
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    logged += text;
  });
  const [code] = await once(child, 'close');
  return { code, said, logged };
}

test('what is not said has its default, and TLS is off', () => {
  expect(readConfig([])).toMatchObject({
    mqtt: { host: '127.0.0.1', port: 1883 },
    ...{ mqtts: undefined, ws: undefined, wss: undefined, ingress: undefined, identity: undefined },
    auth: [{ host: '127.0.0.1', port: 7410 }],
    limits: {
      ...{ connections: 100_000, sourceConnections: 20_000, sourceRate: 1_000, decisions: 4_000 },
      ...{ loopDelayMs: 500, drainMs: 5_000 },
    },
    logLevel: 'info',
  });
});

test('limits are set by flags', () => {
  const flags = '--max-connections 9 --max-source-connections 8 --max-source-rate 7 --max-decisions 6';
  expect(readConfig(`${flags} --max-loop-delay-ms 0 --drain-seconds 3`.split(' ')).limits).toEqual({
    ...{ connections: 9, sourceConnections: 8, sourceRate: 7, decisions: 6, loopDelayMs: 0, drainMs: 3_000 },
  });
});

test('--auth takes several replicas, with commas or given again', () => {
  const ports = (...args: string[]) => readConfig(args).auth.map(({ port }) => port);
  expect(ports('--auth', '1,[::1]:2', '--auth', 'localhost:3')).toEqual([1, 2, 3]);
  expect(ports('--auth=7')).toEqual([7]);
});

test.each([
  ['the TLS listener without its files', ['--mqtts', '8883'], '--tls-cert and --tls-key'],
  ['a certificate without its key', ['--tls-cert', MAIN], '--tls-cert and --tls-key'],
  [
    'a file that is not there',
    ['--tls-cert', '/nowhere', '--tls-key', MAIN],
    '--tls-cert /nowhere cannot be read (ENOENT)',
  ],
  ['metrics for everybody', ['--metrics', '0.0.0.0:1'], '--metrics 0.0.0.0:1 can be reached'],
  ['an auth service on another machine', ['--auth', '10.0.0.1:7410'], '--auth 10.0.0.1:7410 is on another machine'],
])('%s is a matter of settings', (_, args, message) => {
  expect(() => readConfig(args)).toThrow(SettingsError);
  expect(() => readConfig(args)).toThrow(message);
});

test('--insecure-listen allows both', () => {
  const config = readConfig(['--metrics', '0.0.0.0:1', '--auth', '10.0.0.1:7410', '--insecure-listen']);
  expect(config).toMatchObject({ metrics: { host: '0.0.0.0' }, auth: [{ host: '10.0.0.1' }] });
});

test('the service says where it listens, warns of plain MQTT that others can reach, and stops as asked', async () => {
  const { code, said, logged } = await run(['--mqtt', '0.0.0.0:0'], {
    LATCHKEY_MQTT_METRICS: '127.0.0.1:0',
    LATCHKEY_AUTH: '127.0.0.1:9',
  });
  expect(JSON.parse(said)).toEqual({
    event: 'ready',
    mqtt: expect.stringMatching(/^0\.0\.0\.0:[1-9]/),
    metrics: expect.stringMatching(/^127\.0\.0\.1:[1-9]/),
  });
  expect(logged).toContain('plain MQTT can be reached from other machines');
  expect(logged).toContain('"stopped"');
  expect(code).toBe(0);
});

test('addresses that are wrong, the same or too many end with code 2', async () => {
  const many = Array.from({ length: 17 }, (_, index) => index + 1).join(',');
  for (const auth of ['1,,2', '1,127.0.0.1:1', many]) expect((await run(['--auth', auth])).code).toBe(2);
});

test('a port in use is told by its flag, exit code 2', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as { port: number };
  const { code, said, logged } = await run(['--mqtt', String(port), '--metrics', '0']);
  taken.close();
  expect({ code, said }).toEqual({ code: 2, said: '' });
  expect(logged).toContain(`--mqtt 127.0.0.1:${port} cannot be listened on (EADDRINUSE)`);
});

test('TLS files without a key in them are told by their flags', async () => {
  const { code, logged } = await run(['--tls-cert', MAIN, '--tls-key', MAIN, '--mqtt', '0', '--metrics', '0']);
  expect(code).toBe(2);
  expect(logged).toContain('--tls-cert and --tls-key hold no certificate chain');
});
