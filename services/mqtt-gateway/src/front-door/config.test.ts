import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SettingsError } from '@latchkey/runtime';
import { afterAll, expect, test, vi } from 'vitest';
import { readConfig } from '../config.ts';
import { newAuthority } from '../test-certificates.ts';

const folder = mkdtempSync(join(tmpdir(), 'latchkey-upstream-'));
const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const authority = await newAuthority('Brokers');
const gateway = await authority.issue('gateway');
const [ca, cert, key] = [file('ca', authority.cert), file('cert', gateway.cert), file('key', gateway.key)];
const password = file('password', 'of the gateway\n');
afterAll(() => rmSync(folder, { recursive: true }));

test('without --upstream the broker is in the process', () => {
  expect(readConfig([]).upstream).toBeUndefined();
});

test.each([
  ['mqtt://127.0.0.1:11883', { host: '127.0.0.1', port: 11883 }, false],
  ['mqtt://localhost', { host: 'localhost', port: 1883 }, false],
  ['mqtt://[::1]:1', { host: '::1', port: 1 }, false],
  ['mqtts://broker.example', { host: 'broker.example', port: 8883 }, true],
])('%s is a broker', (url, address, secure) => {
  const { upstream } = readConfig(['--upstream', url]);
  expect(upstream).toMatchObject({ address, username: undefined, password: undefined });
  expect(upstream?.tls !== undefined).toBe(secure);
});

test('TLS files, user name and password are read; the password does not print', () => {
  const tls = ['--upstream-ca', ca, '--upstream-cert', cert, '--upstream-key', key];
  const login = ['--upstream-username', 'latchkey', '--upstream-password-file', password];
  const { upstream } = readConfig(['--upstream', 'mqtts://b', ...tls, ...login]);
  expect(upstream).toMatchObject({ tls: expect.anything(), username: 'latchkey' });
  expect(upstream?.password?.reveal()).toBe('of the gateway');
  expect(JSON.stringify(upstream)).not.toContain('of the gateway');
});

test('the password may come from the environment', () => {
  expect(readConfig(['--upstream', 'mqtt://localhost'], 'from there').upstream?.password?.reveal()).toBe('from there');
});

test.each([
  ['plain MQTT to another machine', ['--upstream', 'mqtt://10.0.0.5:1883'], 'use mqtts://, or say --insecure-upstream'],
  ['a certificate without its key', ['--upstream', 'mqtts://b', '--upstream-cert', cert], 'go together'],
  ['TLS files for plain MQTT', ['--upstream', 'mqtt://localhost', '--upstream-ca', ca], 'need an mqtts:// URL'],
  ['a user name for no broker', ['--upstream-username', 'x'], 'need --upstream'],
  ['an empty user name', ['--upstream', 'mqtt://localhost', '--upstream-username', ''], '1 to 65535 bytes'],
  [
    'an empty password',
    ['--upstream', 'mqtt://localhost', '--upstream-password-file', file('empty', '\n')],
    '1 to 65535',
  ],
  [
    'a file that is not there',
    ['--upstream', 'mqtts://b', '--upstream-ca', '/nowhere'],
    '--upstream-ca /nowhere cannot',
  ],
])('%s is a matter of settings', (_, args, message) => {
  expect(() => readConfig(args)).toThrow(SettingsError);
  expect(() => readConfig(args)).toThrow(message);
});

test.each(['mqtt://me:hunter2@b', 'mqtt://b/hunter2', 'http://hunter2', 'hunter2:1883', 'mqtts://b:99999', 'mqtt://'])(
  '%s is no broker, and is not repeated',
  (url) => {
    expect(() => readConfig(['--upstream', url])).toThrow(SettingsError);
    expect(() => readConfig(['--upstream', url])).toThrow(/^--upstream: write mqtt:\/\/HOST:PORT(?!.*hunter2)/);
  },
);

test('two passwords are one too many', () => {
  const args = ['--upstream', 'mqtt://localhost', '--upstream-password-file', password];
  expect(() => readConfig(args, 'another')).toThrow('give one of');
});

test('--insecure-upstream allows plain MQTT to another machine', () => {
  const { upstream } = readConfig(['--upstream', 'mqtt://10.0.0.5', '--insecure-upstream']);
  expect(upstream).toMatchObject({ address: { host: '10.0.0.5', port: 1883 }, tls: undefined });
});

test('every option may come from the environment, under its own name', () => {
  vi.stubEnv('LATCHKEY_UPSTREAM', 'mqtt://localhost:7');
  vi.stubEnv('LATCHKEY_UPSTREAM_PASSWORD_FILE', password);
  expect(readConfig([]).upstream?.address.port).toBe(7);
  expect(readConfig([]).upstream?.password?.reveal()).toBe('of the gateway');
  vi.unstubAllEnvs();
});
