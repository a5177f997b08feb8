import { writeFile } from 'node:fs/promises';
import { connect } from 'mqtt';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { httpsLogin, login } from './digest.ts';
import { dial, dialIn } from './link.ts';
import { mosquitto } from './mosquitto.ts';
import { register } from './operator.ts';
import { newPlace, type Place } from './place.ts';
import { type Program, start } from './program.ts';
import { programFor, type Scope } from './scope.ts';
import { type System, startAuth, systemOf } from './system.ts';

// Each step starts a process, slowly so on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const FREE = '127.0.0.1:0';
const SECRET = 'first-secret';
const UNTIL = { timeout: 60_000, interval: 20 };
const UNAVAILABLE = 3;

let place: Place;
let auth: Program;
beforeAll(async () => {
  place = await newPlace();
  auth = await startAuth(place, 0, '--failed-attempts', '3', '--failed-attempt-seconds', '3600');
});
afterAll(async () => {
  expect(await auth.end()).toBe(0);
  await place.remove();
});

/** An MQTT gateway with these options, and these devices. */
async function begin(scope: Scope, options: readonly string[], devices: readonly string[]) {
  const credential = `${place.dataDir}.credential`;
  await writeFile(credential, `application:${'x'.repeat(32)}\n`, { mode: 0o600 });
  const listeners = ['--mqtt', FREE, '--metrics', FREE, '--ingress', FREE, '--ingress-credential', credential];
  const asking = ['--auth', auth.ready['grpc'] ?? ''];
  const mqtt = await start('services/mqtt-gateway/src/main.ts', [...asking, ...listeners, ...options]);
  const gateway = programFor(scope, mqtt);
  const system = systemOf(place, auth, gateway);
  for (const deviceId of devices) await register(system, deviceId, SECRET);
  await untilReady(gateway);
  return { gateway, system, credential, asking };
}

async function untilReady({ ready }: Program): Promise<void> {
  const url = `http://${ready['metrics']}/readyz`;
  await vi.waitFor(async () => expect((await fetch(url)).status).toBe(200), UNTIL);
}

/** The sum of a metric's values, of the lines that have this in their labels. */
async function metric(url: string, name: string, label = ''): Promise<number> {
  const lines = (await (await fetch(url)).text()).split('\n').filter((line) => line.startsWith(`${name}{`));
  const counted = lines.filter((line) => line.includes(label));
  return counted.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

const metricOf = ({ ready }: Program, name: string, label?: string) =>
  metric(`http://${ready['metrics']}/metrics`, name, label);
const numbered = (name: string, count: number) => Array.from({ length: count }, (_, index) => `${name}-${index}`);
const linkOf =
  ({ mqtt }: System) =>
  (deviceId: string) =>
    dialIn(mqtt, login(deviceId, SECRET));

test('logins beyond what can be asked are "unavailable" before those that are asked, and open links go on', async (scope) => {
  const kept = numbered('kept', 4);
  const { gateway, system, credential, asking } = await begin(scope, ['--max-decisions', '4'], [...kept, 'stormy']);
  const upstream = ['--upstream', `mqtt://${gateway.ready['ingress']}`, '--upstream-credential', credential];
  const listeners = ['--http', FREE, '--metrics', FREE, '--max-decisions', '2'];
  const https = programFor(
    scope,
    await start('services/https-gateway/src/main.ts', [...asking, ...listeners, ...upstream]),
  );
  await untilReady(https);
  const links = await Promise.all(kept.map(linkOf(system)));

  const order: string[] = [];
  const note = <T>(what: string, answer: Promise<T>) => answer.finally(() => order.push(what));
  const storm = () => dial(system.mqtt, login('stormy', SECRET));
  const body = JSON.stringify(httpsLogin('stormy', SECRET));
  const post = async () => (await fetch(`${https.ready['http']}/v5/device-auth`, { method: 'POST', body })).status;
  process.kill(auth.pid, 'SIGSTOP');
  try {
    const asked = [...Array(4)].map(() => note('asked', storm()));
    const posted = [...Array(2)].map(() => note('posted', post()));
    const inFlight = 'latchkey_gateway_decisions_in_flight';
    const all = async () => [await metricOf(gateway, inFlight), await metricOf(https, inFlight)];
    await vi.waitFor(async () => expect(await all()).toEqual([4, 2]), UNTIL);
    const shed = [...Array(40)].map(() => note('shed', storm()));
    const shedPosts = [...Array(20)].map(() => note('shed post', post()));
    for (const link of links) await link.publish();
    expect(await Promise.all([...asked, ...shed])).toEqual(Array(44).fill(UNAVAILABLE));
    expect(await Promise.all([...posted, ...shedPosts])).toEqual(Array(22).fill(503));
    expect(order.indexOf('shed')).toBeLessThan(order.indexOf('asked'));
    expect(order.indexOf('shed post')).toBeLessThan(order.indexOf('posted'));
  } finally {
    process.kill(auth.pid, 'SIGCONT');
  }
  const shedBy = (program: Program) => metricOf(program, 'latchkey_gateway_decisions_total', 'reason="OVERLOADED"');
  // Where the machine itself stood still for seconds, some of them were asked.
  expect(await shedBy(gateway)).toBeGreaterThan(20);
  expect(await shedBy(https)).toBeGreaterThan(10);
  await vi.waitFor(async () => expect(await storm()).not.toBe(UNAVAILABLE), UNTIL);
  await vi.waitFor(async () => expect(await post()).toBe(200), UNTIL);
  await Promise.all(links.map((link) => link.publish()));
});

test('connections beyond the bound are closed without a word, and open links go on', async (scope) => {
  const devices = numbered('bounded', 8);
  const { gateway, system } = await begin(scope, ['--max-source-connections', '8'], devices);
  const [first, ...links] = await Promise.all(devices.map(linkOf(system)));
  const over = await Promise.allSettled([...Array(30)].map(() => dial(system.mqtt, login('bounded-0', SECRET))));
  expect(over.map(({ status }) => status)).toEqual(Array(30).fill('rejected'));
  expect(await metricOf(gateway, 'latchkey_gateway_connections_refused_total', 'cause="SOURCE"')).toBe(30);
  await Promise.all([first, ...links].map((link) => link?.publish()));
  await first?.close();
  await vi.waitFor(() => linkOf(system)('bounded-0'), UNTIL);
});

test('a device that hammers with a wrong secret is slowed, and nobody else is', async (scope) => {
  const devices = ['hammer', ...numbered('calm', 5)];
  const { gateway, system } = await begin(scope, [], devices);
  const answers: number[] = [];
  // An endless retry, as some vendors' clients have it.
  const hammer = connect({
    host: '127.0.0.1',
    port: system.mqtt,
    reconnectPeriod: 1,
    reconnectOnConnackError: true,
    ...login('hammer', 'not-the-secret'),
  });
  scope.onTestFinished(() => hammer.endAsync(true));
  hammer.on('error', (error) => answers.push('code' in error ? Number(error.code) : Number.NaN));
  const throttled = () => metricOf(gateway, 'latchkey_gateway_decisions_total', 'reason="THROTTLED"');
  await vi.waitFor(async () => expect(await throttled()).toBe(1), UNTIL);
  // Its fourth answer is held back; meanwhile the others come in, and itself from elsewhere with the right secret.
  const links = await Promise.all(devices.slice(1).map(linkOf(system)));
  expect(await mosquitto(system.mqtt, login('hammer', SECRET), { from: '127.0.0.2' })).toBe(0);
  await Promise.all(links.map((link) => link.publish()));
  expect(answers).toEqual([4, 4, 4]);
  await vi.waitFor(() => expect(answers.slice(0, 4)).toEqual([4, 4, 4, UNAVAILABLE]), UNTIL);
  expect(await metric(`${system.admin}/metrics`, 'latchkey_decisions_total', 'secret_mismatch')).toBe(3);
  await Promise.all(links.map((link) => link.publish()));
});
