import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readConfig } from './config.ts';

let folder: string;
let upstream: string[];
let cert: string;
let key: string;
const file = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, 0o600);
  return path;
};

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-coap-'));
  upstream = ['--upstream', 'mqtt://127.0.0.1:1884', '--upstream-credential', file('credential', 'gateway:canary\n')];
  [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const request = ['req', '-x509', '-nodes', '-days', '2', '-subj', '/CN=gateway', '-newkey', 'ec'];
  const curve = ['-pkeyopt', 'ec_paramgen_curve:P-256'];
  execFileSync('openssl', [...request, ...curve, '-keyout', key, '-out', cert], { stdio: 'ignore' });
});
afterAll(() => rmSync(folder, { recursive: true }));

test('what is not said has its default', () => {
  expect(readConfig(upstream)).toEqual({
    coaps: { host: '127.0.0.1', port: 5684 },
    coap: undefined,
    certificate: undefined,
    upstream: { url: 'mqtt://127.0.0.1:1884', username: 'gateway', password: 'canary' },
    auth: [{ host: '127.0.0.1', port: 7410 }],
    metrics: { host: '127.0.0.1', port: 7484 },
    limits: expect.objectContaining({ connections: 100_000 }),
    logLevel: 'info',
  });
});

test('a certificate chain and its key', () => {
  const { certificate } = readConfig([...upstream, '--tls-cert', cert, '--tls-key', key]);
  expect(certificate?.()).toMatchObject({ chain: [expect.any(Uint8Array)], key: { asymmetricKeyType: 'ec' } });
});

test('plain CoAP that others can reach must be asked for by name', () => {
  const args = [...upstream, '--coap', '0.0.0.0:5683', '--insecure-listen'];
  expect(readConfig(args).coap).toEqual({ host: '0.0.0.0', port: 5683 });
});

test.each([
  ['half an identity', () => ['--tls-key', key], 'need both --tls-cert and --tls-key'],
  ['no certificate', () => ['--tls-cert', file('none', 'canary'), '--tls-key', key], 'hold no certificate chain'],
  ['no key', () => ['--tls-cert', cert, '--tls-key', file('none', 'canary')], 'hold no certificate chain'],
  ['metrics for everyone', () => ['--metrics', '0.0.0.0:1'], '--metrics 0.0.0.0:1 can be reached'],
  ['plain CoAP for everyone', () => ['--coap', '0.0.0.0:5683'], '--coap 0.0.0.0:5683 is not on this machine alone'],
  ['an auth service elsewhere', () => ['--auth', '10.0.0.1:2'], '--auth 10.0.0.1:2 is on another machine'],
])('%s is refused', (_name, args, message) => {
  const read = () => readConfig([...upstream, ...args()]).certificate?.();
  expect(read).toThrow(message);
  expect(read).not.toThrow('canary');
});

test('the process says what is wrong and ends with code 2', async () => {
  const run = promisify(execFile)(process.execPath, [join(import.meta.dirname, 'main.ts')]);
  await expect(run).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining('--upstream-credential') });
});
