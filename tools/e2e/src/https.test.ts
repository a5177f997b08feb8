import { readFileSync } from 'node:fs';
import { connectAsync, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { cli } from './cli.ts';
import { type Answered, curl, type Sent } from './curl.ts';
import { httpsLogin } from './digest.ts';
import { newIdentity } from './identity.ts';
import { freeze, register, registerCertificate, remove, retirePrimary, unfreeze } from './operator.ts';
import { newPlace, type Place } from './place.ts';
import { caFile, type Launched, launch, portOf } from './system.ts';

const SECRET = 'first-secret';
const REPORT = JSON.stringify({ services: [{ service_id: 'water', properties: { level: 7 } }] });

let place: Place;
let system: Launched;
let application: MqttClient;
const arrived: { readonly topic: string; readonly text: string }[] = [];

beforeAll(async () => {
  place = await newPlace();
  system = await launch(place);
  const { ingress = '', ingressCredential = '' } = system.launcher.ready;
  const [username = '', password = ''] = readFileSync(ingressCredential, 'utf8').trim().split(':');
  application = await connectAsync(`mqtt://127.0.0.1:${portOf(ingress)}`, { username, password });
  application.on('message', (topic, payload) => arrived.push({ topic, text: payload.toString() }));
  await application.subscribeAsync('$oc/devices/+/sys/#', { qos: 1 });
});
beforeEach(() => {
  arrived.length = 0;
});
afterAll(async () => {
  await application.endAsync();
  expect(await system.stop()).toBe(0);
  await place.remove();
});

const send = (sent: Omit<Sent, 'port' | 'ca'>): Promise<Answered> =>
  curl({ port: system.https, ca: caFile(system), ...sent });
const logIn = (deviceId: string, secret = SECRET) =>
  send({ path: '/v5/device-auth', body: JSON.stringify(httpsLogin(deviceId, secret)) });
const tokenOf = async (deviceId: string) => (await logIn(deviceId)).body as { readonly access_token: string };
const report = (deviceId: string, token: string | undefined, more: Partial<Sent> = {}) =>
  send({ path: `/v5/devices/${deviceId}/sys/properties/report`, body: REPORT, token, ...more });
const REFUSED_TOKEN = { status: 403, body: { error_code: 'IOTDA.000004', error_msg: 'Invalid access token.' } };

test.each([
  ['--http1.0', '1.1'], // an answer to HTTP/1.0 may say so (RFC 9110, 2.5)
  ['--http1.1', '1.1'],
  ['--http2', '2'],
])('a device logs in and reports by curl %s, and an application reads it', async (option, version) => {
  const deviceId = `curl${option.replace('.', '-')}`;
  await register(system, deviceId, SECRET);
  const login = await send({
    ...{ path: '/v5/device-auth', body: JSON.stringify(httpsLogin(deviceId, SECRET)), more: [option] },
  });
  expect(login).toMatchObject({ status: 200, version });
  const { access_token, expires_in } = login.body as { readonly access_token: string; readonly expires_in: number };
  expect(access_token).toMatch(/^[A-Za-z0-9_-]{32,256}$/);
  expect(expires_in).toBeGreaterThan(86_300);
  expect(await report(deviceId, access_token, { more: [option] })).toEqual({ status: 200, version, body: '' });
  const message = { path: `/v5/devices/${deviceId}/sys/messages/up`, body: 'hello', token: access_token };
  expect(await send({ ...message, more: [option] })).toMatchObject({ status: 200 });
  await vi.waitFor(() => expect(arrived).toHaveLength(2), 20_000);
  expect(arrived).toEqual([
    { topic: `$oc/devices/${deviceId}/sys/properties/report`, text: REPORT },
    { topic: `$oc/devices/${deviceId}/sys/messages/up`, text: 'hello' },
  ]);
});

test('close to a megabyte gets through, more does not', async () => {
  await register(system, 'large', SECRET);
  const { access_token: token } = await tokenOf('large');
  const path = '/v5/devices/large/sys/messages/up';
  expect(await send({ path, token, body: 'a'.repeat(1_048_000) })).toMatchObject({ status: 200 });
  expect(await send({ path, token, body: 'a'.repeat(1_048_577) })).toMatchObject({
    ...{ status: 403, body: { error_code: 'IOTDA.021105' } },
  });
  await vi.waitFor(() => expect(arrived.map(({ text }) => text.length)).toEqual([1_048_000]), 20_000);
});

test('a certificate that is preset gets in without a token, another one does not', async () => {
  const [own, foreign] = await Promise.all([newIdentity(system.dataDir), newIdentity(system.dataDir)]);
  await registerCertificate(system, 'certified', own.sha256);
  for (const more of [['--http1.1'], ['--http2']]) {
    expect(await report('certified', undefined, { identity: own, more })).toMatchObject({ status: 200 });
    expect(await report('certified', undefined, { identity: foreign, more })).toMatchObject({
      ...{ status: 401, body: { error_code: 'IOTDA.000002' } },
    });
  }
  expect(await report('certified', undefined)).toMatchObject(REFUSED_TOKEN);
});

test('a token ends with a reset and a freeze, and a new login makes a new one', async () => {
  await register(system, 'ended', SECRET);
  const first = await tokenOf('ended');
  const reset = ['credential', 'reset', 'ended', '--kind', 'secret', '--slot'];
  await cli(system, ...reset, 'secondary', '--value', 'second-secret');
  expect(await report('ended', first.access_token)).toMatchObject({ status: 200 });
  await cli(system, ...reset, 'primary', '--value', 'third-secret');
  expect(await report('ended', first.access_token)).toMatchObject(REFUSED_TOKEN);
  expect(await logIn('ended')).toMatchObject({ status: 401 });
  const next = (await logIn('ended', 'second-secret')).body as { readonly access_token: string };
  expect(await report('ended', next.access_token)).toMatchObject({ status: 200 });
  await freeze(system, 'ended');
  expect(await report('ended', next.access_token)).toMatchObject(REFUSED_TOKEN);
  await unfreeze(system, 'ended');
  expect(await report('ended', next.access_token)).toMatchObject(REFUSED_TOKEN);
});

test('a token ends with a forced disconnect, the retirement of its credential and a deletion', async () => {
  const ends: Readonly<Record<string, (deviceId: string) => Promise<unknown>>> = {
    forced: (deviceId) =>
      cli(system, 'credential', 'reset', deviceId, '--kind', 'secret', '--slot', 'secondary', '--force-disconnect'),
    retired: (deviceId) => retirePrimary(system, deviceId),
    deleted: (deviceId) => remove(system, deviceId),
  };
  for (const [deviceId, end] of Object.entries(ends)) {
    await register(system, deviceId, SECRET);
    await cli(system, 'credential', 'reset', deviceId, '--kind', 'secret', '--slot', 'secondary');
    const { access_token } = await tokenOf(deviceId);
    expect(await report(deviceId, access_token)).toMatchObject({ status: 200 });
    await end(deviceId);
    expect(await report(deviceId, access_token)).toMatchObject(REFUSED_TOKEN);
  }
});

test('a token is of no use to another device', async () => {
  await Promise.all(['mine', 'yours'].map((deviceId) => register(system, deviceId, SECRET)));
  const { access_token } = await tokenOf('mine');
  expect(await report('yours', access_token)).toMatchObject(REFUSED_TOKEN);
  expect(await report('mine', `${access_token}=`)).toMatchObject(REFUSED_TOKEN);
  expect(await report('mine', access_token)).toMatchObject({ status: 200 });
});

test('what the gateway does not know is told apart', async () => {
  expect(await send({ path: '/v5/nothing' })).toMatchObject({ status: 404 });
  expect(await send({ path: '/v5/device-auth', more: ['-X', 'PUT'] })).toMatchObject({ status: 405 });
  expect(await send({ path: '/v5/device-auth', body: '{}' })).toMatchObject({
    ...{ status: 400, body: { error_code: 'IOTDA.000006', error_msg: 'Invalid input data.' } },
  });
});
