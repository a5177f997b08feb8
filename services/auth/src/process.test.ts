import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { systemRandom } from '@latchkey/kernel';
import { Slot } from '@latchkey/protocol/v1';
import { generateKeyLine } from '@latchkey/store';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type AuthProcess, attempt, clientsOf, freshDirectory, operatorOf, startProcess } from './test-process.ts';

let dir: string;
let remove: () => Promise<void>;
const started: AuthProcess[] = [];

beforeEach(async () => {
  ({ path: dir, remove } = await freshDirectory());
});
afterEach(async () => {
  for (const process of started.splice(0)) await process.stop('SIGKILL');
  await remove();
});

async function start(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<AuthProcess> {
  const process = await startProcess(['--data-dir', dir, ...args], env);
  started.push(process);
  return process;
}
const keyFile = () => join(dir, 'sealing.key');
const key = (id: string) => generateKeyLine(id, systemRandom);
const secretOf = (value: string) => ({ case: 'secret' as const, value: { value } });
/** Everything in the directory but the two files that are to hold secrets. */
const laidDown = () =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !['sealing.key', 'operator.token'].includes(entry.name))
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
    .join('\n');

test('a first start makes key and token for its user alone, and a restart keeps everything', async () => {
  const first = await start();
  const clients = operatorOf(first.ready);
  for (const file of ['sealing.key', 'operator.token']) expect(statSync(join(dir, file)).mode & 0o777).toBe(0o600);
  const token = readFileSync(join(dir, 'operator.token'), 'utf8').trim();
  await clients.devices.createDevice({ deviceId: 'kept', primary: secretOf('canary-secret-1') });
  expect((await clients.authenticate(attempt('kept', 'canary-secret-1'), 5_000)).decision.case).toBe('granted');
  clients.channel.close();
  expect(await first.stop()).toBe(0);
  const again = operatorOf((await start()).ready);
  expect(readFileSync(join(dir, 'operator.token'), 'utf8').trim()).toBe(token);
  expect((await again.authenticate(attempt('kept', 'canary-secret-1'), 5_000)).decision).toMatchObject({
    case: 'granted',
    value: { activatedNow: false },
  });
  again.channel.close();
});

test('no secret, token or key lies in logs, metrics or the files of the store', async () => {
  const service = await start(['--log-level', 'debug']);
  const clients = operatorOf(service.ready);
  const canaries = ['canary-secret-1', 'canary-secret-2', 'canary-secret-3', 'canary-secret-4'];
  const [first = '', second = '', wrong = '', refused = ''] = canaries;
  await clients.devices.createDevice({ deviceId: 'canary', primary: secretOf(first) });
  const credential = secretOf(second);
  await clients.credentials.resetCredential({ deviceId: 'canary', slot: Slot.SECONDARY, credential });
  const generated = await clients.credentials.resetCredential({
    ...{ deviceId: 'canary', slot: Slot.PRIMARY, credential: { case: 'secret' as const, value: {} } },
  });
  await clients.authenticate(attempt('canary', wrong), 5_000);
  await clients.authenticate(attempt('no id!', wrong), 5_000).catch(() => undefined);
  await clients.devices.createDevice({ deviceId: 'x', primary: secretOf(`${refused}!`) }).catch(() => undefined);
  const metrics = await (await fetch(`${service.ready?.admin}/metrics`)).text();
  expect(metrics).toContain('nodejs_eventloop_lag_p99_seconds');
  clients.channel.close();
  expect(await service.stop()).toBe(0);
  const seen = [service.log(), metrics, laidDown()].join('\n');
  expect(seen).toContain('canary'); // the device's id is there, so the right places were read
  const files = ['sealing.key', 'operator.token'].map((file) => readFileSync(join(dir, file), 'utf8').trim());
  for (const secret of [...canaries, generated.secret ?? '', files[0]?.split(':')[1] ?? '', files[1] ?? '']) {
    expect(secret.length).toBeGreaterThan(8);
    expect(seen).not.toContain(secret);
  }
});

test('a new operator token voids the old one', async () => {
  const first = await start();
  const old = readFileSync(join(dir, 'operator.token'), 'utf8').trim();
  await first.stop();
  const { ready } = await start(['--new-operator-token']);
  expect(ready).toBeDefined();
  const before = ready && clientsOf(ready, old);
  await expect(before?.devices.listDevices({})).rejects.toThrow(/present the operator token/);
  await expect(operatorOf(ready).devices.listDevices({})).resolves.toMatchObject({ devices: [] });
});

test('another key refuses to start with code 2, says what to do, and leaves nothing behind', async () => {
  await (await start()).stop();
  const right = readFileSync(keyFile(), 'utf8');
  rmSync(keyFile());
  const missing = await start();
  expect(await missing.exit).toBe(2);
  expect(missing.log()).toMatch(/is not the key \\"k1\\" that sealed in this store: give the right key/);
  expect(() => statSync(keyFile())).toThrow(/ENOENT/);
  const other = await start([], { LATCHKEY_SEALING_KEYS: key('k2') });
  expect(await other.exit).toBe(2);
  expect(other.log()).toMatch(/sealed under key \\"k1\\", which the keyring lacks/);
  writeFileSync(keyFile(), right);
  expect((await start()).ready).toBeDefined();
});

test('keys come from the environment or a command, from one place, and are never told', async () => {
  const line = key('k1');
  const fromEnvironment = await start([], { LATCHKEY_SEALING_KEYS: line });
  expect(await fromEnvironment.stop()).toBe(0);
  writeFileSync(join(dir, 'vault'), line);
  const fromCommand = await start(['--key-command', `cat ${join(dir, 'vault')}`]);
  expect(await fromCommand.stop()).toBe(0);
  const both = await start(['--key-command', 'true'], { LATCHKEY_SEALING_KEYS: line });
  expect([await both.exit, both.log()]).toEqual([2, expect.stringContaining('give one of --key-file, --key-command')]);
  const failing = await start(['--key-command', `echo ${line}; exit 3`]);
  expect([await failing.exit, failing.log()]).toEqual([2, expect.stringContaining('gave no keys: it ended with 3')]);
  const nowhere = await start(['--key-file', join(dir, 'no', 'such', 'file')]);
  expect([await nowhere.exit, nowhere.log()]).toEqual([2, expect.stringContaining('--key-file: ENOENT')]);
  const logs = [fromEnvironment, fromCommand, both, failing].map((process) => process.log()).join('');
  expect(logs).not.toContain(line.slice(3));
});

test('bad settings end with code 2: addresses that others reach, unknown options, a store that is none', async () => {
  const reached = await start(['--grpc', '0.0.0.0:0']);
  expect([await reached.exit, reached.log()]).toEqual([2, expect.stringContaining('say --insecure-listen if')]);
  const unknown = await start(['--no-such-option']);
  expect([await unknown.exit, unknown.log()]).toEqual([
    2,
    expect.stringContaining("unknown option '--no-such-option'"),
  ]);
  const store = await start(['--store', 'mysql://user:canary-password@host']);
  expect([await store.exit, store.log()]).toEqual([2, expect.not.stringContaining('canary-password')]);
  expect((await start(['--insecure-listen', '--admin', '0.0.0.0:0'])).ready?.admin).toMatch(/^http:\/\/0\.0\.0\.0:/);
});

test('keys rotate by SIGHUP under load: everything opens, and the old key is done with', async () => {
  const service = await start();
  const clients = operatorOf(service.ready);
  const ids = Array.from({ length: 50 }, (_, number) => `r${number}`);
  for (const deviceId of ids) await clients.devices.createDevice({ deviceId, primary: secretOf('secret-number-1') });
  let stop = false;
  let asked = 0;
  const load = (async () => {
    for (; !stop; asked += 1) {
      const deviceId = ids[asked % ids.length] ?? '';
      await clients.devices.updateDevice({ deviceId, activationTimeoutS: 3_600 + (asked % 100) });
      const { decision } = await clients.authenticate(attempt(deviceId, 'secret-number-1'), 5_000);
      expect(decision.case).toBe('granted');
    }
  })();
  // A question that fails ends the wait for what cannot come any more.
  const until = async (holds: () => boolean) => {
    while (!holds()) await Promise.race([load, pause(10)]);
  };
  const [oldKey, newKey] = [readFileSync(keyFile(), 'utf8').trim(), key('k2')];
  const hangup = async (keys: readonly string[], said: string) => {
    const before = service.log().length;
    writeFileSync(keyFile(), `${keys.join('\n')}\n`);
    service.child.kill('SIGHUP');
    await until(() => service.log().slice(before).includes(said));
  };
  await hangup([oldKey, newKey], '"re-sealed:');
  await hangup([newKey, oldKey], '"re-sealed:');
  await hangup([newKey], 'sealing keys read anew');
  const before = asked;
  await until(() => asked >= before + 20);
  stop = true;
  await load;
  expect(asked).toBeGreaterThan(20);
  clients.channel.close();
  expect(await service.stop()).toBe(0);
  const again = operatorOf((await start()).ready);
  for (const deviceId of ids) {
    expect((await again.authenticate(attempt(deviceId, 'secret-number-1'), 5_000)).decision.case).toBe('granted');
  }
  again.channel.close();
});

test('keys that do not fit are refused on SIGHUP, and the old ones go on', async () => {
  const service = await start();
  writeFileSync(keyFile(), key('k9'));
  service.child.kill('SIGHUP');
  while (!service.log().includes('the sealing keys stay as they were')) await pause(20);
  const clients = operatorOf(service.ready);
  await clients.devices.createDevice({ deviceId: 'a', primary: secretOf('secret-number-1') });
  expect((await clients.authenticate(attempt('a', 'secret-number-1'), 5_000)).decision.case).toBe('granted');
  clients.channel.close();
});

test('two services do not share a data directory, and the loser takes no key along', async () => {
  const [one, two] = await Promise.all([start(), start()]);
  const loser = one.ready === undefined ? one : two;
  expect([one, two].filter(({ ready }) => ready !== undefined)).toHaveLength(1);
  expect([await loser.exit, loser.log()]).toEqual([1, expect.stringContaining('in use by another process')]);
  expect(statSync(keyFile()).mode & 0o777).toBe(0o600);
});

test('a service ends with its starter', async () => {
  const service = await start();
  service.child.disconnect();
  expect(await service.exit).toBe(0);
});
