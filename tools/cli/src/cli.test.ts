import { createHash, createHmac, randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { runCli } from './program.ts';
import { START_TIMEOUT_MS, startTestService, type TestService } from './test-service.ts';

vi.setConfig({ testTimeout: START_TIMEOUT_MS, hookTimeout: START_TIMEOUT_MS });

const NOW = Date.UTC(2026, 10, 23, 12, 30);

let dir: string;
let service: TestService;
let admin: string;
let out: string;
let err: string;
let input: string;

beforeAll(async () => {
  service = await startTestService();
  dir = service.dir;
  admin = service.admin;
});

afterAll(() => service.stop());

beforeEach(() => {
  [out, err, input] = ['', '', ''];
});

function cli(
  line: string,
  options: { readonly dataDir?: string; readonly token?: string; readonly now?: number } = {},
) {
  [out, err] = ['', ''];
  return runCli(['--data-dir', options.dataDir ?? dir, ...line.split(' ')], {
    print: (part) => (out += part),
    complain: (part) => (err += part),
    readInput: async () => input,
    now: () => options.now ?? NOW,
    uuid: randomUUID,
    token: options.token,
  });
}

test('a device is registered with a given secret and shown without it', async () => {
  expect(await cli('device create given --secret 12345678')).toBe(0);
  expect(out).toMatch(
    /^device +given\nstatus +inactive\nkind +secret\nprimary +set \S{16} since 20\S+Z\nsecondary +empty\n/,
  );
  expect(out).toMatch(/\nsecret +12345678\n$/);
  expect(await cli('device get given')).toBe(0);
  expect(out).toContain('activated  never');
  expect(out).not.toContain('12345678');
});

test('without a secret the service makes one, told in the answer of the creation alone', async () => {
  expect(await cli('--json device create made')).toBe(0);
  const created = JSON.parse(out);
  expect(created.secret).toMatch(/^[A-Za-z0-9_-]{32}$/);
  expect(created.device).toMatchObject({ deviceId: 'made', kind: 'CREDENTIAL_KIND_SECRET', requireTrustedCa: false });
  expect(await cli('device get made --json')).toBe(0);
  expect(JSON.parse(out)).toEqual({ device: created.device });
});

test.each(['--secret -', '--secret-file -'])('a secret may come from standard input: %s', async (option) => {
  const id = option.replaceAll(/\W/g, '');
  input = 'from_input1\n';
  expect(await cli(`device create ${id} ${option}`)).toBe(0);
  expect(out).toMatch(/\nsecret +from_input1\n$/);
});

test('a secret may come from a file, and may begin with a dash', async () => {
  await writeFile(join(dir, 'secret'), 'in_a_file\r\n');
  expect(await cli(`device create filed --secret-file ${dir}/secret`)).toBe(0);
  expect(out).toMatch(/\nsecret +in_a_file\n$/);
  expect(await cli('device create dashed --secret -abcdefg')).toBe(0);
  expect(out).toMatch(/\nsecret +-abcdefg\n$/);
});

test('a certificate device has its fingerprint, or waits for its first certificate', async () => {
  const fingerprint = 'AB'.repeat(32);
  expect(await cli(`device create certified --fingerprint ${fingerprint} --require-trusted-ca`)).toBe(0);
  expect(out).toMatch(new RegExp(`primary +set \\S{16} since \\S+ ${'ab'.repeat(32)}\n`));
  expect(out).toMatch(/trusted CA +required\n/);
  expect(await cli('device create waiting --trust-on-first-use')).toBe(0);
  expect(out).toMatch(/kind +certificate\nprimary +armed/);
});

test('a listing pages through the devices, of one prefix and up to a limit', async () => {
  for (const id of ['list-1', 'list-2', 'list-3']) expect(await cli(`device create ${id}`)).toBe(0);
  expect(await cli('device list --prefix list-')).toBe(0);
  expect(out.split('\n').map((line) => line.split(/ +/)[0])).toEqual(['DEVICE', 'list-1', 'list-2', 'list-3', '']);
  expect(err).toBe('');
  expect(await cli('device list --prefix list- --limit 2')).toBe(0);
  expect(err).toContain('there are more');
  expect(await cli('device list --prefix list- --limit 2 --json')).toBe(0);
  const { devices, more } = JSON.parse(out);
  expect([devices.map((device: { deviceId: string }) => device.deviceId), more]).toEqual([['list-1', 'list-2'], true]);
});

test('freeze, unfreeze, update and delete do what they say', async () => {
  expect(await cli('device create ruled --activation-timeout 60')).toBe(0);
  expect(out).toContain('within 60 s of creation');
  expect(await cli('device freeze ruled')).toBe(0);
  expect(out).toMatch(/status +frozen/);
  expect(await cli('device unfreeze ruled --json')).toBe(0);
  expect(JSON.parse(out).device.status).toBe('DEVICE_STATUS_INACTIVE');
  expect(await cli('device update ruled --activation-timeout 0 --json')).toBe(0);
  expect(JSON.parse(out).device).toMatchObject({ activationTimeoutS: 0, requireTrustedCa: false });
  expect(await cli('device delete ruled --json')).toBe(0);
  expect(JSON.parse(out)).toEqual({ deviceId: 'ruled', deleted: true });
  expect(await cli('device get ruled')).toBe(4);
});

test('whether a certificate must chain to a trusted CA can be changed both ways', async () => {
  expect(await cli('device create chained --trust-on-first-use --require-trusted-ca')).toBe(0);
  expect(await cli('device update chained --activation-timeout 60 --json')).toBe(0);
  expect(JSON.parse(out).device).toMatchObject({ activationTimeoutS: 60, requireTrustedCa: true });
  expect(await cli('device update chained --no-require-trusted-ca --json')).toBe(0);
  expect(JSON.parse(out).device).toMatchObject({ activationTimeoutS: 60, requireTrustedCa: false });
  expect(await cli('device update chained --require-trusted-ca --json')).toBe(0);
  expect(JSON.parse(out).device).toMatchObject({ requireTrustedCa: true });
});

test('what the service refuses for another reason has code 1 and its words', async () => {
  expect(await cli('device create kind-secret')).toBe(0);
  const wrong = 'credential reset kind-secret --kind fingerprint --slot primary --json';
  expect(await cli(`${wrong} --value ${'11'.repeat(20)}`)).toBe(1);
  expect(JSON.parse(err).error.code).toBe('failed_precondition');
});

test('a reset sets one slot; both secrets then open, and a repeated request id resets once', async () => {
  expect(await cli('device create turned --secret old_secret')).toBe(0);
  const reset =
    'credential reset turned --kind secret --slot secondary --request-id 7e57ab1e-0000-4000-8000-000000000001';
  expect(await cli(`${reset} --json`)).toBe(0);
  const first = JSON.parse(out);
  expect(first.credential).toMatchObject({ slot: 'SLOT_SECONDARY', state: 'SLOT_STATE_SET' });
  expect(await cli(`${reset} --json`)).toBe(0);
  expect(JSON.parse(out)).toEqual(first);
  expect(await cli('authenticate turned --secret old_secret')).toBe(0);
  expect(out).toMatch(/^granted: primary credential \S{16}, revision \d+\nit would activate the device\n$/);
  expect(await cli(`authenticate turned --secret ${first.secret}`)).toBe(0);
  expect(out).toContain('granted: secondary');
  expect(await cli('credential reset turned --kind secret --slot primary --value new_secret --force-disconnect')).toBe(
    0,
  );
  expect(out).toMatch(/^device +turned\nprimary +set \S{16} since \S+\nrevision +\d+\nsecret +new_secret\n$/);
  expect(await cli('authenticate turned --secret old_secret')).toBe(3);
});

test('a fingerprint is reset, or armed', async () => {
  expect(await cli(`device create printed --fingerprint ${'11'.repeat(20)}`)).toBe(0);
  const reset = 'credential reset printed --kind fingerprint --slot primary';
  expect(await cli(`${reset} --value ${'22'.repeat(20)}`)).toBe(0);
  expect(out).toContain('22'.repeat(20));
  expect(out).not.toContain('secret');
  expect(await cli(`authenticate printed --fingerprint ${'22'.repeat(20)}`)).toBe(0);
  expect(await cli(`authenticate printed --fingerprint ${'11'.repeat(20)} --json`)).toBe(3);
  expect(JSON.parse(out).denied).toEqual({ reason: 'DENY_REASON_FINGERPRINT_MISMATCH' });
  expect(await cli(`${reset} --trust-on-first-use`)).toBe(0);
  expect(out).toMatch(/primary +armed/);
});

test('a digest is tried as a device sent it, or is made of a secret for the present hour', async () => {
  expect(await cli('device create digested --secret 12345678')).toBe(0);
  const password = createHmac('sha256', '2026010100').update('12345678').digest('hex');
  expect(await cli(`authenticate digested --password ${password} --timestamp 2026010100`)).toBe(0);
  expect(await cli(`authenticate digested --password ${password} --timestamp 2026010100 --sign-type 1`)).toBe(3);
  expect(out).toBe('denied: the timestamp is outside the window that the sign type demands\n');
  expect(await cli('authenticate digested --secret 12345678 --digest', { now: Date.now() })).toBe(0);
  expect(await cli('authenticate digested --secret 12345678 --digest', { now: 0 })).toBe(3);
  expect(await cli('authenticate digested --secret 12345678 --digest --sign-type 2', { now: Date.now() })).toBe(0);
  expect(await cli('authenticate digested --secret 87654321 --digest', { now: Date.now() })).toBe(3);
  expect(out).toBe('denied: the secret, or what was computed from it, matches no slot\n');
});

test.each(['pem', 'der'])('a certificate is tried from a file in %s', async (form) => {
  const pem = await readFile(join(import.meta.dirname, 'fixtures/device.pem'), 'utf8');
  const der = Buffer.from(pem.replaceAll(/-----.*-----|\s/g, ''), 'base64');
  const file = join(dir, `device.${form}`);
  await writeFile(file, form === 'pem' ? pem : der);
  expect(await cli(`device create tls-${form} --fingerprint ${createHash('sha256').update(der).digest('hex')}`)).toBe(
    0,
  );
  expect(await cli(`authenticate tls-${form} --certificate ${file}`)).toBe(0);
  expect(out).toContain('granted: primary');
});

test('CoAP takes the primary slot alone', async () => {
  expect(await cli('device create coap --secret 12345678')).toBe(0);
  expect(await cli('credential reset coap --kind secret --slot secondary --value 87654321')).toBe(0);
  expect(await cli('authenticate coap --protocol coap --secret 12345678')).toBe(0);
  expect(await cli('authenticate coap --protocol coap --secret 87654321')).toBe(3);
  expect(out).toContain('which this protocol does not accept');
});

test('a device that is not there is told to the operator', async () => {
  expect(await cli('authenticate nobody --secret 12345678')).toBe(3);
  expect(out).toBe('denied: there is no such device\n');
  expect(await cli('device get nobody')).toBe(4);
  expect([out, err]).toEqual(['', 'latchkey: there is no device nobody\n']);
  expect(await cli('device get nobody --json')).toBe(4);
  expect([out, JSON.parse(err)]).toEqual(['', { error: { code: 'not_found', message: 'there is no device nobody' } }]);
});

test('a conflict has code 5: it exists already, or has another revision', async () => {
  expect(await cli('device create twice')).toBe(0);
  expect(await cli('device create twice --json')).toBe(5);
  expect(JSON.parse(err).error.code).toBe('already_exists');
  expect(await cli('device freeze twice --expected-revision 999999 --json')).toBe(5);
  expect(JSON.parse(err).error.code).toBe('aborted');
});

test.each([
  ['', 'a command is missing'],
  ['device', 'a command is missing'],
  ['device create', "missing required argument 'id'"],
  ['device create x --secret 12345678 --fingerprint ab', 'cannot be used with option'],
  ['device create x --trust-on-first-use --hex', 'cannot be used with option'],
  ['device create x --secret short', 'secret.value'],
  ['device create x/y', 'device_id'],
  ['device create x --secret-file /does/not/exist', 'ENOENT'],
  ['device list --limit 0', 'whole number from 1 to 100000'],
  ['device update x', 'nothing to update was named'],
  ['device bend x', "unknown command 'bend'"],
  ['device get x --colour', "unknown option '--colour'"],
  ['device get x --admin ftp://x', 'not an http:// or https:// URL'],
  ['credential reset x --slot primary', "required option '--kind <kind>' not specified"],
  ['credential reset x --kind fingerprint --slot primary', 'needs --value'],
  ['credential reset x --kind secret --slot primary --trust-on-first-use', 'is for --kind fingerprint'],
  ['credential reset x --kind secret --slot primary --expected-revision -1', 'It must be a whole number'],
  ['authenticate x', 'name one proof'],
  ['authenticate x --secret 12345678 --password ab', 'name one proof'],
  ['authenticate x --password ab', '--password needs --timestamp'],
  ['authenticate x --secret 12345678 --sign-type 1', 'are for --password and --digest'],
  ['authenticate x --fingerprint ab --digest', '--digest needs --secret'],
  ['authenticate x --certificate /dev/null', 'holds no certificate'],
])('%j is a wrong use', async (line, message) => {
  const words = line === '' ? '--json' : `${line} --json`;
  expect(await cli(words)).toBe(2);
  expect(out).toBe('');
  expect(JSON.parse(err).error.message).toContain(message);
});

test('a wrong token is told with where it came from', async () => {
  expect(await cli('device list', { token: 'wrong' })).toBe(1);
  expect(err).toBe(`latchkey: ${admin} does not accept the token of LATCHKEY_TOKEN\n`);
  await writeFile(join(dir, 'other.token'), 'wrong\n');
  expect(await cli(`device list --json --token-file ${dir}/other.token`, { token: 'wrong too' })).toBe(1);
  expect(JSON.parse(err).error).toEqual({
    code: 'unauthenticated',
    message: `${admin} does not accept the token of ${dir}/other.token`,
  });
});

test('the right token may come from the environment', async () => {
  const token = (await readFile(join(dir, 'operator.token'), 'utf8')).trim();
  expect(await cli(`device list --admin ${admin}`, { token, dataDir: '/does/not/exist' })).toBe(0);
});

test('a missing token says where it was looked for', async () => {
  expect(await cli('device list --json', { dataDir: '/does/not/exist' })).toBe(1);
  expect(JSON.parse(err).error.code).toBe('no_token');
  expect(JSON.parse(err).error.message).toContain('/does/not/exist/operator.token is not there; "npm start" makes it');
});

test('the token of this machine is not shown to another', async () => {
  expect(await cli('device list --admin http://192.0.2.1:7480')).toBe(2);
  expect(err).toContain('http://192.0.2.1:7480 is another machine');
});

test('a server that is not there has code 6 and the way to start it', async () => {
  expect(await cli('device list --admin http://127.0.0.1:1')).toBe(6);
  expect(err).toBe('latchkey: cannot reach http://127.0.0.1:1 (ECONNREFUSED): does it run? "npm start" starts it\n');
  expect(await cli('device create x --admin http://127.0.0.1:1 --json')).toBe(6);
  expect(JSON.parse(err).error.code).toBe('unavailable');
});

test('the help tells the exit codes and that a secret on a command line can be seen', async () => {
  expect(await cli('--help')).toBe(0);
  expect(out).toContain('6  unavailable');
  expect(await cli('device create --help')).toBe(0);
  expect(out.replaceAll(/\s+/g, ' ')).toContain('other users of this machine see it in the list of processes');
});
