import { randomBytes } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { denied, granted } from '@latchkey/gateway-kit/testing';
import { type AuthenticateRequest, ChangeKind, DenyReason, Protocol, SessionEffect } from '@latchkey/protocol/v1';
import { connect, type MqttClient } from 'mqtt';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Bench, closed, dial, dialIn, login, mosquittoPub, startBench, until } from './test-bench.ts';

let bench: Bench;
const ends: (() => unknown)[] = [];
beforeAll(async () => {
  bench = await startBench({ deadlines: { connectMs: 400, decisionMs: 500 } });
});
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  bench.table.answer = ({ deviceId }) => granted(`${deviceId}-1`, 1n);
  await until(async () => (await openSessions()) === 0);
});
afterAll(() => bench.stop());

async function openSessions(): Promise<number> {
  return figure('latchkey_gateway_sessions_open');
}

async function figure(name: string): Promise<number> {
  const text = await (await fetch(bench.url('/metrics'))).text();
  const line = text.split('\n').find((each) => each.startsWith(name)) ?? '0';
  return Number(line.slice(line.lastIndexOf(' ')));
}

async function online(deviceId: string, on = bench) {
  const client = await dialIn(on.mqtt, login(deviceId));
  ends.push(() => client.endAsync(true));
  return client;
}

/** A device id of its own, for tests that leave a closing behind. */
let named = 0;
function device(): string {
  return `device_${++named}`;
}

/** A plain socket, for what no client library would send. */
async function socket(): Promise<Socket> {
  const tcp = connectTcp(bench.mqtt, '127.0.0.1');
  ends.push(() => tcp.destroy());
  tcp.on('error', () => undefined);
  await new Promise((resolve) => tcp.once('connect', resolve));
  return tcp.resume();
}

function gone(tcp: Socket): Promise<void> {
  return new Promise((resolve) => {
    tcp.once('close', () => resolve());
  });
}

/** Subscribes and answers what SUBACK grants: a QoS each, or 128. */
async function subscribe(client: MqttClient, topics: string[]): Promise<unknown> {
  const suback = new Promise((resolve) => {
    client.on('packetreceive', (packet) => packet.cmd === 'suback' && resolve(packet.granted));
  });
  client.subscribe(topics, () => undefined);
  return suback;
}

test.each([
  ['MQTT 3.1', { protocolVersion: 3, protocolId: 'MQIsdp' }],
  ['MQTT 3.1.1', { protocolVersion: 4 }],
] as const)('%s: the service is asked what the device presented, and the device gets in', async (_, version) => {
  const asked: AuthenticateRequest[] = [];
  bench.table.answer = (attempt) => {
    asked.push(attempt);
    return granted('c', 1n);
  };
  const client = await dialIn(bench.mqtt, { ...login('a_device_with_a_long_name'), ...version });
  ends.push(() => client.endAsync(true));
  expect(asked).toMatchObject([
    {
      deviceId: 'a_device_with_a_long_name',
      protocol: Protocol.MQTT,
      source: '127.0.0.1',
      proof: {
        kind: {
          case: 'digest',
          // The vendor's own worked example: secret 12345678 in the hour 2025041401.
          value: {
            signType: 0,
            timestamp: '2025041401',
            password: 'c75150e6cb841417396819e4d2ee4358a416344a03a083e3a8567074ddec820a',
          },
        },
      },
    },
  ]);
});

test.each(['mqttv31', 'mqttv311'])('mosquitto_pub gets in with %s', async (version) => {
  const { clientId, username, password } = login('mosquitto_device_of_a_long_name');
  const args = ['-p', String(bench.mqtt), '-V', version, '-i', clientId, '-u', username, '-P', password];
  const topic = `$oc/devices/${username}/sys/properties/report`;
  expect(await mosquittoPub([...args, '-q', '1', '-t', topic, '-m', '{}'])).toEqual({ code: 0, said: '' });
});

test.each([
  ['a wrong password', DenyReason.SECRET_MISMATCH, 4],
  ['an unknown device', DenyReason.UNKNOWN_DEVICE, 4],
  ['a frozen device', DenyReason.FROZEN, 5],
  ['too many attempts', DenyReason.THROTTLED, 3],
] as const)('%s is answered with its code, to mqtt.js and to mosquitto_pub', async (_, reason, code) => {
  bench.table.answer = () => denied(reason);
  const { clientId, username, password } = login('d');
  expect(await dial(bench.mqtt, { clientId, username, password })).toBe(code);
  const args = ['-p', String(bench.mqtt), '-i', clientId, '-u', username, '-P', password, '-t', 't', '-m', '{}'];
  expect(await mosquittoPub(args)).toMatchObject({ code });
});

test.each([
  ['a malformed client id', { clientId: 'd_0_1' }, 2],
  ['a malformed client id on MQTT 3.1', { clientId: 'd', protocolVersion: 3, protocolId: 'MQIsdp' }, 2],
  ['a keepalive of 10 s', { keepalive: 10 }, 2],
  ['a keepalive of 29 s', { keepalive: 29 }, 2],
  ['no keepalive', { keepalive: 0 }, 2],
  ['a keepalive of 1201 s', { keepalive: 1201 }, 2],
  ['another user name', { username: 'e' }, 4],
  ['no password', { password: '' }, 4],
  ['MQTT 5', { protocolVersion: 5 }, 1],
] as const)('%s is refused before anybody is asked', async (_, more, code) => {
  let asked = 0;
  bench.table.answer = () => {
    asked++;
    return granted('c', 1n);
  };
  expect(await dial(bench.mqtt, { ...login('d'), ...more })).toBe(code);
  expect(asked).toBe(0);
});

test.each([30, 1200])('a keepalive of %i s is within the bounds', async (keepalive) => {
  const client = await dialIn(bench.mqtt, { ...login('d'), keepalive });
  ends.push(() => client.endAsync(true));
});

test.each([
  [
    'an error',
    () => {
      throw new Error('no store');
    },
  ],
  ['silence', () => new Promise<never>(() => undefined)],
] as const)('no decision because of %s is 3', async (_, answer) => {
  bench.table.answer = answer;
  expect(await dial(bench.mqtt, login('d'))).toBe(3);
});

test('the new link wins, once it is granted, under another client id as well', async () => {
  const first = await online('d');
  const firstClosed = closed(first);
  bench.table.answer = () => denied(DenyReason.SECRET_MISMATCH);
  expect(await dial(bench.mqtt, login('d'))).toBe(4);
  expect(first.connected).toBe(true);

  bench.table.answer = () => granted('c', 1n);
  const { password, username } = login('d');
  const second = await dialIn(bench.mqtt, { clientId: 'd_0_1_2025041402', username, password });
  ends.push(() => second.endAsync(true));
  await firstClosed;
  const third = await online('d');
  await closed(second);
  await third.publishAsync('$oc/devices/d/up', 'x', { qos: 1 });
  expect(await openSessions()).toBe(1);
});

test('of fifty links of one device at once, one stays', async () => {
  const outcomes = await Promise.allSettled(Array.from({ length: 50 }, () => dial(bench.mqtt, login('d'))));
  const clients = outcomes.flatMap((each) =>
    each.status === 'fulfilled' && typeof each.value === 'object' ? [each.value] : [],
  );
  ends.push(...clients.map((client) => () => client.endAsync(true)));
  await until(() => clients.filter(({ connected }) => connected).length === 1);
  expect(await openSessions()).toBe(1);
});

test.each([
  ['freeze', { kind: ChangeKind.FROZEN, effect: SessionEffect.CLOSE_DEVICE }],
  ['delete', { kind: ChangeKind.DELETED, effect: SessionEffect.CLOSE_DEVICE }],
  ['reset with force_disconnect', { kind: ChangeKind.RESET, effect: SessionEffect.CLOSE_DEVICE }],
  ['retirement', { kind: ChangeKind.RETIRED, effect: SessionEffect.CLOSE_CREDENTIAL, byCredential: true }],
] as const)('a %s closes the link at once and no other', async (_, { kind, effect, ...more }) => {
  const [deviceId, otherId] = [device(), device()];
  const [client, other] = [await online(deviceId), await online(otherId)];
  const ended = closed(client);
  const credentialId = 'byCredential' in more ? `${deviceId}-1` : '';
  const begun = performance.now();
  bench.table.change({ deviceId, revision: 2n, kind, effect, credentialId });
  await ended;
  expect(performance.now() - begun).toBeLessThan(1000);
  await other.publishAsync(`$oc/devices/${otherId}/up`, 'x', { qos: 1 });
});

test('a plain reset keeps the link, and publishing works on', async () => {
  const [deviceId, witnessId] = [device(), device()];
  const client = await online(deviceId);
  const witnessed = closed(await online(witnessId));
  bench.table.change({ deviceId, revision: 2n, kind: ChangeKind.RESET, effect: SessionEffect.KEEP });
  bench.table.change({ deviceId: witnessId, revision: 2n, effect: SessionEffect.CLOSE_DEVICE });
  await witnessed; // so the reset before it has been taken in
  await client.publishAsync(`$oc/devices/${deviceId}/up`, 'x', { qos: 1 });
  expect(client.connected).toBe(true);
});

test('a change that comes between verdict and CONNACK keeps the device out', async () => {
  const asked = Promise.withResolvers<void>();
  const verdict = Promise.withResolvers<ReturnType<typeof granted>>();
  bench.table.answer = () => {
    asked.resolve();
    return verdict.promise;
  };
  const outcome = dial(bench.mqtt, login('late'));
  await asked.promise;
  bench.table.change({ deviceId: 'late', revision: 9n, kind: ChangeKind.FROZEN, effect: SessionEffect.CLOSE_DEVICE });
  verdict.resolve(granted('late-1', 8n));
  expect(await outcome).toBe(3);
  expect(await openSessions()).toBe(0);
});

test('a grant that ends by itself ends the link', async () => {
  bench.table.answer = () => ({
    decision: {
      case: 'granted',
      value: {
        credentialId: 'c',
        revision: 1n,
        expiresAt: { seconds: BigInt(Math.ceil(Date.now() / 1000)), nanos: 0 },
      },
    },
  });
  await closed(await online('d'));
});

test('a device has its own topics and no others', async () => {
  const [own, other] = [await online('d'), await online('e')];
  const heard: string[] = [];
  own.on('message', (topic, payload) => heard.push(`${topic} ${payload}`));
  const filters = [
    '$oc/devices/d/#',
    '$oc/devices/d/sys/+/x',
    '$oc/devices/d2/up',
    '$oc/devices/+/up',
    '#',
    '+/x',
    '$SYS/#',
  ];
  expect(await subscribe(own, filters)).toEqual([0, 0, 128, 128, 128, 128, 128]);
  const refusedBefore = await figure('latchkey_mqtt_topics_refused_total{operation="PUBLISH"');
  await other.publishAsync('$oc/devices/d/up', 'stolen', { qos: 1 });
  await own.publishAsync('$oc/devices/d/up', 'own', { qos: 1 });
  await until(() => heard.length > 0);
  expect(heard).toEqual(['$oc/devices/d/up own']);
  expect(other.connected).toBe(true);
  expect(await figure('latchkey_mqtt_topics_refused_total{operation="PUBLISH"')).toBe(refusedBefore + 1);
});

test('a retained message is not kept', async () => {
  const client = await online('d');
  await client.publishAsync('$oc/devices/d/up', 'kept?', { qos: 1, retain: true });
  const heard: string[] = [];
  client.on('message', (_, payload) => heard.push(String(payload)));
  await client.subscribeAsync('$oc/devices/d/up');
  await client.publishAsync('$oc/devices/d/up', 'live', { qos: 1 });
  await until(() => heard.length > 0);
  expect(heard).toEqual(['live']);
});

test('a link has at most 100 subscriptions; one that is given up makes room', async () => {
  const client = await online('d');
  const topics = Array.from({ length: 101 }, (_, index) => `$oc/devices/d/${index}`);
  expect(await subscribe(client, topics)).toEqual([...Array.from({ length: 100 }, () => 0), 128]);
  expect(await subscribe(client, topics.slice(0, 1))).toEqual([0]);
  await client.unsubscribeAsync(topics.slice(0, 1));
  expect(await subscribe(client, topics.slice(100))).toEqual([0]);
});

test('a CONNECT that does not come in time is cut', async () => {
  const idle = await socket();
  const slow = await socket();
  slow.write(Buffer.from([0x10, 0x7f, 0, 4]));
  const drip = setInterval(() => slow.write('M'), 100);
  ends.push(() => clearInterval(drip));
  await Promise.all([gone(idle), gone(slow)]);
});

test('garbage, endless packets and resets of the connection end that connection alone', async () => {
  const client = await online('d');
  for (const bytes of [
    randomBytes(1_000_000),
    Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]),
    Buffer.alloc(70_000, 0x10),
  ]) {
    const tcp = await socket();
    tcp.write(bytes);
    await gone(tcp);
  }
  const reset = await socket();
  reset.write(Buffer.from([0x10, 0x10]));
  reset.resetAndDestroy();
  await client.publishAsync('$oc/devices/d/up', 'x', { qos: 1 });
});

test('a packet over 1 MiB ends the link as soon as it is announced', async () => {
  const client = await online('d');
  const ended = closed(client);
  client.stream.write(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]));
  await ended;
});

test('a device that goes away while it is decided on leaves nothing', async () => {
  const verdicts: (() => void)[] = [];
  bench.table.answer = () =>
    new Promise((resolve) => {
      verdicts.push(() => resolve(granted('c', 1n)));
    });
  const grantsBefore = await figure('latchkey_gateway_decisions_total{outcome="GRANTED"');
  const leaver = connect({ host: '127.0.0.1', port: bench.mqtt, reconnectPeriod: 0, ...login('leaver') });
  await until(() => verdicts.length === 1);
  leaver.stream.destroy();
  for (const verdict of verdicts) verdict();
  await until(async () => (await figure('latchkey_gateway_decisions_total{outcome="NONE",reason="OVERTAKEN"')) > 0);
  expect(await figure('latchkey_gateway_decisions_total{outcome="GRANTED"')).toBe(grantsBefore);
  expect(await openSessions()).toBe(0);
});

test('no secret is logged', async () => {
  await online('d');
  await dial(bench.mqtt, { ...login('d'), clientId: 'malformed' });
  expect(bench.logged.length).toBeGreaterThan(0);
  expect(bench.logged.join('')).not.toContain(login('d').password);
});
