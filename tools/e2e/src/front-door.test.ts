import { writeFile } from 'node:fs/promises';
import { connectAsync, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Broker, startBroker } from './broker.ts';
import { curl } from './curl.ts';
import { httpsLogin, login } from './digest.ts';
import { mosquitto } from './mosquitto.ts';
import { register } from './operator.ts';
import { newPlace, type Place } from './place.ts';
import { ROAD } from './road.ts';
import { caFile, type Launched, launch } from './system.ts';

// Each step starts a process, slowly so on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

/** What the road asks of a gateway's plain listener; the broker behind it is a real one. */
const PIECES = [
  'the first connect, and nothing before it, activates the device',
  'a reset of the secondary disturbs nobody, and the new secret takes the link over',
  'a reset of the primary refuses the old one at once and leaves its link',
  'a reset by force closes the links',
  'a frozen device is dropped and refused, and told so only with a right proof',
  'a deleted device is dropped and refused, and can be registered anew',
  'a malformed client id and a keepalive out of bounds are answered 2',
  'a device cannot tell a wrong secret from an unknown device',
  'sign type 1 passes in its hour only',
];

let place: Place;
let broker: Broker;
let system: Launched;
let application: MqttClient;
const arrived: string[] = [];

beforeAll(async () => {
  place = await newPlace();
  broker = await startBroker();
  const url = `mqtt://127.0.0.1:${broker.port}`;
  const credential = `${place.dataDir}.credential`;
  await writeFile(credential, 'reports:any-password\n', { mode: 0o600 });
  system = await launch(place, '--upstream', url, '--upstream-credential', credential);
  application = await connectAsync(url);
  application.on('message', (topic, payload) => arrived.push(`${topic} ${payload}`));
  await application.subscribeAsync('$oc/devices/+/sys/#', { qos: 1 });
});
afterAll(async () => {
  await application.endAsync();
  expect(await system.stop()).toBe(0);
  await broker.stop();
  await place.remove();
});

test('what devices send by MQTT and by HTTPS reaches an application at the broker, and there is no ingress', async () => {
  expect(system.launcher.ready).toMatchObject({ upstream: `mqtt://127.0.0.1:${broker.port}` });
  expect(system.launcher.ready).not.toHaveProperty('ingress');
  await register(system, 'reporter', 'first-secret');
  const tls = { ca: caFile(system) };
  expect(await mosquitto(system.mqtts, login('reporter', 'first-secret'), { tls })).toBe(0);
  const ask = { port: system.https, ...tls };
  const body = JSON.stringify(httpsLogin('reporter', 'first-secret'));
  const { access_token: token } = (await curl({ ...ask, path: '/v5/device-auth', body })).body as {
    access_token: string;
  };
  const path = '/v5/devices/reporter/sys/messages/up';
  expect(await curl({ ...ask, path, body: 'by HTTPS', token })).toMatchObject({ status: 200 });
  const topic = '$oc/devices/reporter/sys/messages/up';
  await vi.waitFor(() => expect(arrived).toEqual([`${topic} hello`, `${topic} by HTTPS`]), 20_000);
});

test('every piece is one of the road', () => {
  expect(ROAD.map(({ name }) => name)).toEqual(expect.arrayContaining(PIECES));
});

test.for(ROAD.filter(({ name }) => PIECES.includes(name)))('$name', async ({ run }, { onTestFailed }) => {
  onTestFailed(() => console.error(system.said()));
  await run(system);
});
