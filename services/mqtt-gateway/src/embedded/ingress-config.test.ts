import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { SettingsError } from '@latchkey/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readConfig } from '../config.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-ingress-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(text: string, mode = 0o600): string {
  const path = join(folder, `${Math.random()}`);
  writeFileSync(path, text, { mode });
  return path;
}

const GOOD = 'gateway:a-long-password:with-colons\n';

test('the credential is the line of its file, and does not print', () => {
  const { ingress } = readConfig(['--ingress', '0', '--ingress-credential', file(GOOD)]);
  expect(ingress).toMatchObject({ address: { host: '127.0.0.1', port: 0 }, tls: false });
  expect(ingress?.credential.username).toBe('gateway');
  expect(ingress?.credential.password.reveal()).toBe('a-long-password:with-colons');
  expect(inspect(ingress, { depth: 9 })).not.toContain('a-long-password');
});

test.each([
  ['an ingress without a credential', () => ['--ingress', '0'], '--ingress needs --ingress-credential'],
  ['a credential without an ingress', () => ['--ingress-credential', file(GOOD)], 'need --ingress'],
  [
    'TLS without a certificate',
    () => ['--ingress', '0', '--ingress-tls', '--ingress-credential', file(GOOD)],
    '--ingress-tls needs --tls-cert',
  ],
  [
    'an ingress in clear for other machines',
    () => ['--ingress', '0.0.0.0:0', '--ingress-credential', file(GOOD)],
    'its password would travel in clear',
  ],
  [
    'a file that others can read',
    () => ['--ingress', '0', '--ingress-credential', file(GOOD, 0o640)],
    'can be read by others: chmod 600 it',
  ],
  ['no such file', () => ['--ingress', '0', '--ingress-credential', '/nowhere'], 'cannot be read (ENOENT)'],
  ...['no-colon-in-it-at-all', ':a-long-password-1', 'user:short', 'user:a-long-password-1\nuser:another-one-2'].map(
    (text) =>
      [
        `a file that holds ${JSON.stringify(text)}`,
        () => ['--ingress', '0', '--ingress-credential', file(text)],
        'does not hold one line USER:PASSWORD',
      ] as const,
  ),
] as const)('%s is a matter of settings', (_, args, message) => {
  expect(() => readConfig(args())).toThrow(SettingsError);
  expect(() => readConfig(args())).toThrow(message);
  expect(() => readConfig(args())).not.toThrow(/a-long-password/);
});

test('--insecure-listen allows an ingress in clear', () => {
  const args = ['--ingress', '0.0.0.0:0', '--insecure-listen', '--ingress-credential', file(GOOD)];
  expect(readConfig(args).ingress?.address.host).toBe('0.0.0.0');
});
