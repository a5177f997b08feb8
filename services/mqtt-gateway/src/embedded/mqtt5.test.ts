import type { IClientOptions, MqttClient } from 'mqtt';
import { generate, type Packet } from 'mqtt-packet';
import { expect, test } from 'vitest';
import { until } from '../test-bench.ts';
import { connectPacket, farewell, Links } from '../test-links.ts';

const links = new Links();
const online = (deviceId: string, options: IClientOptions = {}) =>
  links.online(deviceId, { protocolVersion: 5, ...options });

/** Sends what mqtt.js would not. */
function send(client: MqttClient, packet: Packet): void {
  client.stream.write(generate(packet, { protocolVersion: 5 }));
}

const UP = { cmd: 'publish', topic: '$oc/devices/d/up', payload: 'x', qos: 0, dup: false, retain: false } as const;

test.each([
  ['asked for', { sessionExpiryInterval: 3600 }, { sessionExpiryInterval: 0 }],
  ['not asked for', {}, {}],
] as const)('CONNACK tells what is not to be had, with a session that is %s', async (_, properties, more) => {
  const device = await links.speaker(5);
  device.send({ ...connectPacket('d', 5), properties });
  const expected = {
    ...more,
    maximumQoS: 1,
    retainAvailable: false,
    maximumPacketSize: 1_048_576,
    sharedSubscriptionAvailable: false,
  };
  const connack = { cmd: 'connack', sessionPresent: false, reasonCode: 0, properties: expected };
  expect(await device.heard(1)).toMatchObject([connack]);
});

test.each([
  ['an authentication method', { authenticationMethod: 'SCRAM-SHA-256' }, 0x8c],
  ['authentication data without a method', { authenticationData: Buffer.from('x') }, 0x82],
  ['a receive maximum of 0', { receiveMaximum: 0 }, 0x82],
  ['a maximum packet size of 0', { maximumPacketSize: 0 }, 0x82],
])('CONNECT with %s is refused', async (_, properties, code) => {
  const device = await links.speaker(5);
  device.send({ ...connectPacket('d', 5), properties });
  expect(await device.heard(1)).toMatchObject([{ cmd: 'connack', reasonCode: code }]);
});

test.each([
  ['QoS 2', { ...UP, qos: 2, messageId: 1 }, 0x9b],
  ['a retained message', { ...UP, retain: true }, 0x9a],
  ['a topic alias', { ...UP, properties: { topicAlias: 1 } }, 0x94],
  ['a wildcard in a topic', { ...UP, topic: '$oc/devices/d/+' }, 0x90],
  ['an empty topic', { ...UP, topic: '' }, 0x90],
  ['a wildcard in a response topic', { ...UP, properties: { responseTopic: 'a/#' } }, 0x82],
  ['a subscription identifier in a message', { ...UP, properties: { subscriptionIdentifier: 1 } }, 0x82],
  ['the message id 0', { ...UP, qos: 1, messageId: 0 }, 0x81],
  ['AUTH', { cmd: 'auth', reasonCode: 0x18 }, 0x82],
  ['PUBREL', { cmd: 'pubrel', messageId: 1 }, 0x82],
  ['a second CONNECT', { cmd: 'connect', clientId: 'd', protocolVersion: 5, keepalive: 60, clean: true }, 0x82],
  ['CONNACK', { cmd: 'connack', sessionPresent: false, reasonCode: 0 }, 0x82],
] as const)('%s ends the link with its reason', async (_, packet, code) => {
  const client = await online('d');
  const ended = farewell(client);
  send(client, packet);
  expect(await ended).toBe(code);
});

test.each([
  ['garbage', [0x00, 0x00], 0x81],
  ['too long a packet', [0x30, 0xff, 0xff, 0xff, 0x7f], 0x95],
] as const)('%s ends the link with its reason', async (_, bytes, code) => {
  const client = await online('d');
  const ended = farewell(client);
  client.stream.write(Buffer.from(bytes));
  expect(await ended).toBe(code);
});

test('filters that cannot be are refused one by one, each for its own reason', async () => {
  const device = await links.speaker(5);
  const filters = ['$oc/devices/d/a#', '$oc/devices/d/#/b', '$share/g/$oc/devices/d/#', '$oc/devices/e/#'];
  const subscriptions = filters.map((topic) => ({ topic, qos: 1 as const }));
  device.send(connectPacket('d', 5), { cmd: 'subscribe', messageId: 1, subscriptions });
  expect(await device.heard(2)).toMatchObject([{}, { cmd: 'suback', granted: [0x8f, 0x8f, 0x9e, 0x87] }]);
});

test('an unsubscription of nothing says so', async () => {
  const client = await online('d');
  const unsuback = new Promise((resolve) => {
    client.on('packetreceive', (packet) => packet.cmd === 'unsuback' && resolve(packet.granted));
  });
  await client.subscribeAsync('$oc/devices/d/a');
  client.unsubscribe(['$oc/devices/d/a', '$oc/devices/d/b'], () => undefined);
  expect(await unsuback).toEqual([0x00, 0x11]);
});

test('properties travel with a message, and the identifiers of all subscriptions that it matches', async () => {
  const client = await online('d');
  const heard: unknown[] = [];
  client.on('message', (_, __, packet) => heard.push(packet.properties));
  const numbered = (subscriptionIdentifier: number) => ({ properties: { subscriptionIdentifier } });
  await client.subscribeAsync('$oc/devices/d/#', numbered(7));
  await client.subscribeAsync('$oc/devices/d/+', numbered(300));
  const properties = {
    payloadFormatIndicator: true,
    messageExpiryInterval: 60,
    responseTopic: '$oc/devices/d/answers',
    correlationData: Buffer.from('c'),
    contentType: 'application/json',
    userProperties: { a: ['1', '2'], b: '3' },
  };
  await client.publishAsync('$oc/devices/d/up', '{}', { qos: 1, properties });
  await until(() => heard.length > 0);
  expect(heard).toEqual([{ ...properties, subscriptionIdentifier: [7, 300] }]);
});

test('with "no local" a link does not hear itself', async () => {
  const client = await online('d');
  const heard: string[] = [];
  client.on('message', (_, payload) => heard.push(String(payload)));
  await client.subscribeAsync('$oc/devices/d/a', { qos: 1, nl: true });
  await client.subscribeAsync('$oc/devices/d/b', { qos: 1 });
  await client.publishAsync('$oc/devices/d/a', 'unheard', { qos: 1 });
  await client.publishAsync('$oc/devices/d/b', 'heard', { qos: 1 });
  await until(() => heard.length > 0);
  expect(heard).toEqual(['heard']);
});

test('a message over the maximum packet size of the client is dropped and counted', async () => {
  const client = await online('d', { properties: { maximumPacketSize: 100 } });
  const heard: string[] = [];
  client.on('message', (_, payload) => heard.push(String(payload)));
  await client.subscribeAsync('$oc/devices/d/#');
  const dropped = () => links.figure('latchkey_mqtt_messages_dropped_total{cause="TOO_LARGE"');
  const before = await dropped();
  await client.publishAsync('$oc/devices/d/up', 'x'.repeat(100), { qos: 1 });
  await client.publishAsync('$oc/devices/d/up', 'short', { qos: 1 });
  await until(() => heard.length > 0);
  expect(heard).toEqual(['short']);
  expect(await dropped()).toBe(before + 1);
});
