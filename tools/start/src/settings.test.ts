import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DEFAULT_DATA_DIR, PROJECT_DIR, readSettings } from './settings.ts';

const read = (line: string) => readSettings(['node', 'start', ...line.split(' ').filter((word) => word !== '')]);

function start(...args: readonly string[]) {
  return spawnSync(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], { encoding: 'utf8' });
}

test('everything is on this machine alone by default', () => {
  expect(read('')).toEqual({
    dataDir: DEFAULT_DATA_DIR,
    commonArgs: ['--log-level', 'info'],
    authArgs: ['--grpc', '127.0.0.1:7410', '--admin', '127.0.0.1:7480'],
    mqttArgs: ['--mqtt', '127.0.0.1:1883', '--mqtts', '127.0.0.1:8883', '--ingress', '127.0.0.1:1884'],
    httpsArgs: ['--https', '127.0.0.1:8943'],
    coapArgs: ['--coaps', '127.0.0.1:5684'],
    upstream: undefined,
    json: false,
  });
});

test('options reach the services that they are for', () => {
  const rest = '--data-dir d --store redis://127.0.0.1:1 --workers 2 --insecure-listen --json --log-level warn';
  expect(read(`--grpc 0 --admin [::1]:2 --mqtt 0.0.0.0:3 --mqtts 4 --ingress 5 --https 6 --coaps 7 ${rest}`)).toEqual({
    dataDir: join(process.cwd(), 'd'),
    commonArgs: ['--log-level', 'warn', '--insecure-listen'],
    authArgs: ['--grpc', '127.0.0.1:0', '--admin', '[::1]:2', '--store', 'redis://127.0.0.1:1', '--workers', '2'],
    mqttArgs: ['--mqtt', '0.0.0.0:3', '--mqtts', '127.0.0.1:4', '--ingress', '127.0.0.1:5'],
    httpsArgs: ['--https', '127.0.0.1:6'],
    coapArgs: ['--coaps', '127.0.0.1:7'],
    upstream: undefined,
    json: true,
  });
});

test('a broker elsewhere takes the place of the ingress, and of the way that reports go', () => {
  const tls = '--upstream-ca ca --upstream-cert cert --upstream-key key';
  const login = '--upstream-username latchkey --upstream-password-file file --insecure-upstream';
  const mqtt = ['--mqtt', '127.0.0.1:1883', '--mqtts', '127.0.0.1:8883'];
  const broker = ['--upstream', 'mqtts://b'];
  const { mqttArgs, upstream } = read(`--upstream mqtts://b ${tls} ${login} --upstream-credential line`);
  expect(mqttArgs).toEqual([
    ...mqtt,
    ...broker,
    ...`${login} ${tls}`.split(' ').filter((word) => word !== '--insecure-upstream'),
    '--insecure-upstream',
  ]);
  expect(upstream).toEqual({
    url: 'mqtts://b',
    reportArgs: [...broker, '--upstream-credential', 'line', ...tls.split(' '), '--insecure-upstream'],
  });
  expect(read('--upstream mqtts://b')).toMatchObject({
    mqttArgs: [...mqtt, ...broker],
    upstream: { url: 'mqtts://b', reportArgs: undefined },
  });
});

test('the default data directory is the one of the project', () => {
  expect(DEFAULT_DATA_DIR).toBe(join(PROJECT_DIR, '.latchkey'));
});

test.each([
  ['--colour'],
  ['--mqtt', 'nowhere'],
  ['--log-level', 'loud'],
  ['more'],
  ['--upstream', 'mqtt://b', '--ingress', '1'],
])('%s is a wrong option', (...args) => {
  const { status, stdout, stderr } = start(...args);
  expect([status, stdout]).toEqual([2, '']);
  expect(stderr).toContain('error: ');
});

test('the help ends well', () => {
  const { status, stdout } = start('--help');
  expect(status).toBe(0);
  expect(stdout).toContain('--upstream-credential <file>');
  expect(stdout).toContain('Exit codes: 0 stopped as asked, 1 a service failed, 2 wrong settings.');
});
