import { readFileSync } from 'node:fs';
import { connectAsync, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type CoapCall, coapClient, coapPost } from './coap-client.ts';
import { hourOf, signedLogin } from './digest.ts';
import { newIdentity } from './identity.ts';
import { freeze, register, registerCertificate, registerHex, remove, resetSlot } from './operator.ts';
import { newPlace, type Place } from './place.ts';
import { type Program, start } from './program.ts';
import { type Launched, launch, portOf, startAuth, systemOf } from './system.ts';

const SECRET = 'first-secret';

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
  const code = await system.stop();
  await place.remove();
  expect(code).toBe(0);
});

function message(deviceId: string, credential: CoapCall['credential'], text = 'hello'): CoapCall {
  return { port: system.coaps, credential, target: `/v5/devices/${deviceId}/sys/messages/up`, payload: text };
}

const bySecret = (deviceId: string, secret = SECRET) => ({ identity: deviceId, secret });

test('a device registers and reports, and an application reads it', async () => {
  await register(system, 'coap', SECRET);
  const credential = bySecret('coap');
  expect(await coapPost({ port: system.coaps, credential, target: '/rd?ep=coap' })).toEqual(['2.01']);
  expect(await coapPost(message('coap', credential))).toEqual(['2.04']);
  await vi.waitFor(
    () => expect(arrived).toEqual([{ topic: '$oc/devices/coap/sys/messages/up', text: 'hello' }]),
    20_000,
  );
});

test('an application’s message reaches the device that observes, and no other', async () => {
  for (const deviceId of ['told', 'not-told']) await register(system, deviceId, SECRET);
  const observe = async (deviceId: string) => {
    const target = `/v5/devices/${deviceId}/sys/messages/down`;
    const client = coapClient({ port: system.coaps, credential: bySecret(deviceId), target, observesS: 4 });
    await vi.waitFor(() => expect(client.soFar()).toEqual(['2.05']), { timeout: 20_000 });
    return client;
  };
  const [one, other] = await Promise.all([observe('told'), observe('not-told')]);
  await application.publishAsync('$oc/devices/told/sys/messages/down', 'hello', { qos: 1 });
  expect(await one.told).toEqual(['2.05', '2.05', Buffer.from('hello').toString('hex')]);
  expect(await other.told).toEqual(['2.05']);
});

test('an NB-IoT device calls itself by its IMEI, and its secret is the hex of its key', async () => {
  const [imei, key] = ['866971030000001', 'sixteen of a key']; // libcoap takes its key as text
  const secret = Buffer.from(key).toString('hex');
  await registerHex(system, imei, secret);
  const target = `/rd?ep=urn:imei:${imei}&lwm2m=1.1`;
  const show = (key: string) => coapPost({ port: system.coaps, credential: bySecret(`urn:imei:${imei}`, key), target });
  expect(await show(key)).toEqual(['2.01']);
  expect(await show(secret)).toEqual(['decrypt error']);
});

test('a device has no part in another', async () => {
  await register(system, 'mine', SECRET);
  await register(system, 'other', SECRET);
  const credential = bySecret('mine');
  expect(await coapPost({ port: system.coaps, credential, target: '/rd?ep=other' })).toEqual(['4.03']);
  expect(await coapPost(message('other', credential))).toEqual(['4.03']);
  expect(arrived).toEqual([]);
});

test.each([
  [
    'a reset with a forced disconnect',
    (id: string) => resetSlot(system, id, 'PRIMARY', NEXT, 'FORCE'),
    'decrypt error',
  ],
  ['a freeze', (id: string) => freeze(system, id), 'access denied'],
  ['a deletion', (id: string) => remove(system, id), 'decrypt error'],
])('%s ends a session that is open, and keeps the device out', async (name, ends, alert) => {
  const deviceId = name.replaceAll(' ', '-');
  await register(system, deviceId, SECRET);
  const client = coapClient({ ...message(deviceId, bySecret(deviceId)), times: 30 });
  await vi.waitFor(() => expect(client.soFar()).toContain('2.04'), { timeout: 20_000 });
  await ends(deviceId);
  await vi.waitFor(() => expect(client.soFar().at(-1)).toBe('close notify'), { timeout: 20_000 });
  client.end();
  expect(await coapPost(message(deviceId, bySecret(deviceId)))).toEqual([alert]);
});

const NEXT = { secret: { value: 'second-secret' } };

test('a device with a certificate says which one it is', async () => {
  const [identity, stranger] = [await newIdentity(place.dataDir), await newIdentity(place.dataDir)];
  await registerCertificate(system, 'coap-x509', identity.sha256);
  expect(await coapPost({ port: system.coaps, credential: identity, target: '/rd?ep=coap-x509' })).toEqual(['2.01']);
  expect(await coapPost(message('coap-x509', identity))).toEqual(['2.04']);
  expect(await coapPost(message('coap-x509', stranger))).toEqual(['4.01']);
  expect(await coapPost({ port: system.coaps, credential: stranger, target: '/rd' })).toEqual(['4.00']);
});

describe('an auth service with settings of its own', () => {
  let own: Place;
  let auth: Program;
  let gateway: Program;
  beforeAll(async () => {
    own = await newPlace();
    // One try, and the next one a day later.
    const budget = ['--failed-attempts', '1', '--failed-attempt-seconds', '86400'];
    auth = await startAuth(own, 0, '--coap-accept-secondary', ...budget);
    const ingress = `mqtt://127.0.0.1:${portOf(system.launcher.ready['ingress'] ?? '')}`;
    const upstream = ['--upstream', ingress, '--upstream-credential', ingressCredentialOf()];
    const listeners = ['--coaps', '--coap', '--metrics'].flatMap((listener) => [listener, '127.0.0.1:0']);
    const args = ['--auth', auth.ready['grpc'] ?? '', ...listeners, ...upstream];
    gateway = await start('services/coap-gateway/src/main.ts', args);
  });
  afterAll(async () => {
    await gateway.end();
    await auth.end();
    await own.remove();
  });
  const show = (deviceId: string, secret: string) => {
    const port = portOf(gateway.ready['coaps'] ?? '');
    return coapPost({ port, credential: bySecret(deviceId, secret), target: `/rd?ep=${deviceId}` });
  };

  test('with --coap-accept-secondary both secrets get in, in one handshake', async () => {
    const alone = systemOf(own, auth, gateway);
    await register(alone, 'both', SECRET);
    await resetSlot(alone, 'both', 'SECONDARY', NEXT);
    await vi.waitFor(async () => expect(await show('both', SECRET)).toEqual(['2.01']), { timeout: 20_000 });
    expect(await show('both', 'second-secret')).toEqual(['2.01']);
    expect(await show('both', 'third-secret')).toEqual(['decrypt error']);
  });

  test('over plain CoAP a device logs in once with each hour, and a reset ends its token', async () => {
    const alone = systemOf(own, auth, gateway);
    await register(alone, 'plain', SECRET);
    const port = portOf(gateway.ready['coap'] ?? '');
    const send = (target: string, payload: string) => coapClient({ port, credential: 'PLAIN', target, payload });
    const now = Date.now();
    const logIn = async (secret: string, hoursAhead: number) => {
      const timestamp = hourOf(new Date(now + hoursAhead * 3_600_000));
      const { password } = signedLogin('plain', secret, 1, timestamp);
      const client = send('/auth', JSON.stringify({ device_id: 'plain', sign_type: 1, timestamp, password }));
      return [await client.told, client.token()] as const;
    };
    const [told, token] = await logIn(SECRET, 0);
    expect(told).toEqual(['2.01']);
    const report = () => send(`/v5/devices/plain/sys/messages/up?token=${token}`, 'hello').told;
    await vi.waitFor(async () => expect(await report()).toEqual(['2.04']), { timeout: 10_000 });
    await vi.waitFor(() =>
      expect(arrived).toContainEqual({ topic: '$oc/devices/plain/sys/messages/up', text: 'hello' }),
    );
    expect(await logIn(SECRET, 0)).toEqual([['4.01'], undefined]);
    await resetSlot(alone, 'plain', 'PRIMARY', NEXT);
    expect(await report()).toEqual(['4.01']);
    expect((await logIn('second-secret', 1))[0]).toEqual(['2.01']);
  });

  test('a device without a try left is told what a wrong key is told, be its key right; another one gets in', async () => {
    const alone = systemOf(own, auth, gateway);
    for (const deviceId of ['guessed', 'neighbour']) await register(alone, deviceId, SECRET);
    expect(await show('neighbour', SECRET)).toEqual(['2.01']);
    for (const secret of ['wrong-secret', SECRET]) expect(await show('guessed', secret)).toEqual(['decrypt error']);
    expect(await show('neighbour', SECRET)).toEqual(['2.01']);
  });
});

function ingressCredentialOf(): string {
  return system.launcher.ready['ingressCredential'] ?? '';
}
