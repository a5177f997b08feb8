import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readConfig } from './config.ts';
import { selfSigned } from './test-bench.ts';

let folder: string;
let upstream: string[];
const file = (name: string, text: string, mode = 0o600) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
};

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-https-'));
  const credential = file('credential', 'gateway:canary:with a colon\n');
  upstream = ['--upstream', 'mqtt://127.0.0.1:1884', '--upstream-credential', credential];
});
afterAll(() => rmSync(folder, { recursive: true }));

test('what is not said has its default', () => {
  const [cert, key] = [file('cert', 'a certificate'), file('key', 'a key')];
  expect(readConfig([...upstream, '--tls-cert', cert, '--tls-key', key])).toEqual({
    https: { address: { host: '127.0.0.1', port: 8943 }, identity: expect.any(Function) },
    http: undefined,
    upstream: { url: 'mqtt://127.0.0.1:1884', username: 'gateway', password: 'canary:with a colon' },
    auth: [{ host: '127.0.0.1', port: 7410 }],
    metrics: { host: '127.0.0.1', port: 7485 },
    limits: expect.objectContaining({ connections: 100_000, drainMs: 5_000 }),
    logLevel: 'info',
  });
});

test('a broker by TLS may stand anywhere, and have CAs of its own', async () => {
  const [, , , credential = ''] = upstream;
  const { cert } = await selfSigned('broker.example');
  const ca = file('ca', cert.toString());
  const more = ['--upstream', 'mqtts://broker.example:8883', '--upstream-ca', ca, '--http', '8080'];
  const config = readConfig([...more, '--upstream-credential', credential]);
  expect(config.upstream.tls?.()).toEqual({ ca: cert, identity: undefined });
  expect(config).toMatchObject({
    ...{ https: undefined, http: { host: '127.0.0.1', port: 8080 } },
    upstream: { url: 'mqtts://broker.example:8883' },
  });
});

test.each([
  ['nothing to listen on', () => [], 'there is nothing to listen on'],
  ['half an identity', () => ['--tls-key', file('k', '')], 'needs both --tls-cert and --tls-key'],
  ['plain HTTP for everyone', () => ['--http', '0.0.0.0:80'], 'tokens would travel in clear'],
  ['metrics for everyone', () => ['--http', '1', '--metrics', '0.0.0.0:1'], '--metrics 0.0.0.0:1 can be reached'],
  ['CAs that are none', () => ['--http', '1', '--upstream-ca', file('ca', 'none')], 'ca holds no certificates'],
  [
    'an auth service elsewhere',
    () => ['--http', '1', '--auth', '1,10.0.0.1:2'],
    '--auth 10.0.0.1:2 is on another machine',
  ],
  ['a plain broker elsewhere', () => ['--http', '1', '--upstream', 'mqtt://10.0.0.1:1883'], 'use mqtts://'],
  ['a URL with a password', () => ['--http', '1', '--upstream', 'mqtt://a:canary@b:1'], 'write mqtt://HOST:PORT'],
  [
    'half an identity for the broker',
    () => ['--http', '1', '--upstream-cert', file('half', '')],
    '--upstream-cert and --upstream-key go together',
  ],
  [
    'an identity for the broker that is none',
    () => ['--http', '1', '--upstream-cert', file('c', 'none'), '--upstream-key', file('k', 'canary')],
    '--upstream-cert and --upstream-key hold no certificate chain',
  ],
  ['a credential for all', () => ['--http', '1', '--upstream-credential', file('all', 'a:canary', 0o644)], 'chmod 600'],
  ['no credential', () => ['--http', '1', '--upstream-credential', file('none', 'canary')], 'one line USER:PASSWORD'],
  [
    'two lines',
    () => ['--http', '1', '--upstream-credential', file('two', 'a:canary\nb:c\n')],
    'one line USER:PASSWORD',
  ],
])('%s is refused', (_name, args, message) => {
  expect(() => readConfig([...upstream, ...args()])).toThrow(message);
  expect(() => readConfig([...upstream, ...args()])).not.toThrow('canary');
});

test.each(['--insecure-upstream', '--insecure-listen'])('with %s a plain broker elsewhere is one', (flag) => {
  const args = [...upstream, '--http', '1', '--upstream', 'mqtt://10.0.0.1:1883', flag];
  expect(readConfig(args).upstream.url).toBe('mqtt://10.0.0.1:1883');
});

test('without an upstream it does not start', () => {
  expect(() => readConfig(['--http', '1'])).toThrow('--upstream and --upstream-credential say where reports go to');
});

test('a TLS certificate that is not there is told when it is read', () => {
  const { https } = readConfig([...upstream, '--tls-cert', '/nowhere', '--tls-key', '/nowhere']);
  expect(() => https?.identity()).toThrow('--tls-cert /nowhere cannot be read');
});

test('the process says what is wrong and ends with code 2', async () => {
  const main = join(import.meta.dirname, 'main.ts');
  const wrong = [...upstream, '--tls-cert', file('no.pem', 'none'), '--tls-key', file('no.key', 'none')];
  const run = promisify(execFile)(process.execPath, [main, ...wrong]);
  await expect(run).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining('hold no certificate chain') });
});
