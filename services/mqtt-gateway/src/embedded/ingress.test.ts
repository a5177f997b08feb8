import { Secret } from '@latchkey/kernel';
import { SessionEffect } from '@latchkey/protocol/v1';
import type { IClientOptions, MqttClient } from 'mqtt';
import { describe, expect, test } from 'vitest';
import { closed, dial, dialIn, login, until } from '../test-bench.ts';
import { hearing, Links, subscribe, VERSIONS } from '../test-links.ts';

const PASSWORD = 'ingress-password-1';
const links = new Links({ ingress: { username: 'application', password: new Secret(PASSWORD) } });

describe.each(VERSIONS)('$name', ({ speak, column }) => {
  const online = (deviceId: string) => links.online(deviceId, speak);
  const options = { clientId: 'application-1', username: 'application', password: PASSWORD, ...speak };
  const knock = (more: IClientOptions) => dial(links.bench.portOf('ingress'), { ...options, ...more });
  const application = async (more: IClientOptions = {}): Promise<MqttClient> => {
    const client = await dialIn(links.bench.portOf('ingress'), { ...options, ...more });
    links.after(() => client.endAsync(true));
    return client;
  };

  test('an application hears what devices report, and another gateway reports for a device', async () => {
    const app = await application();
    const heard = hearing(app);
    await app.subscribeAsync('$oc/devices/+/sys/#', { qos: 1 });
    const device = await online('d');
    await device.publishAsync('$oc/devices/d/sys/messages/up', 'by MQTT', { qos: 1 });
    const gateway = await application({ clientId: 'gateway' });
    await gateway.publishAsync('$oc/devices/e/sys/properties/report', 'by HTTPS', { qos: 1 });
    await until(() => heard.length === 2);
    expect(heard).toEqual(['$oc/devices/d/sys/messages/up by MQTT', '$oc/devices/e/sys/properties/report by HTTPS']);
  });

  test.each([
    ['messages/down', 0],
    ['messages/down', 1],
    ['events/down', 1],
    ['commands/request_id=4711', 1],
    ['properties/set/request_id=4711', 1],
    ['properties/get/request_id=4711', 0],
    ['shadow/get/response/request_id=4711', 1],
  ] as const)('sys/%s reaches a device that subscribed to nothing, at QoS %i', async (rest, qos) => {
    const [app, device, other] = [await application(), await online('d'), await online('e')];
    const heard: unknown[] = [];
    device.on('message', (topic, payload, packet) => heard.push([topic, String(payload), packet.qos]));
    const unheard = hearing(other);
    const topic = `$oc/devices/d/sys/${rest}`;
    await app.publishAsync(topic, 'for d', { qos });
    await until(() => heard.length > 0);
    expect(heard).toEqual([[topic, 'for d', qos]]);
    expect(unheard).toEqual([]);
  });

  test('a topic of its own reaches a device only with a subscription', async () => {
    const [app, device] = [await application(), await online('d')];
    const heard = hearing(device);
    await app.publishAsync('$oc/devices/d/user/x', 'unheard', { qos: 1 });
    await device.subscribeAsync('$oc/devices/d/user/+');
    await app.publishAsync('$oc/devices/d/user/x', 'heard', { qos: 1 });
    await until(() => heard.length > 0);
    expect(heard).toEqual(['$oc/devices/d/user/x heard']);
  });

  test('a device that was shut out hears nothing any more', async () => {
    const deviceId = links.device();
    const [app, device] = [await application(), await online(deviceId)];
    const heard = hearing(device);
    const ended = closed(device);
    links.bench.table.change({ deviceId, revision: 2n, effect: SessionEffect.CLOSE_DEVICE });
    await ended;
    await app.publishAsync(`$oc/devices/${deviceId}/sys/messages/down`, 'too late', { qos: 1 });
    expect(heard).toEqual([]);
  });

  test.each([
    ['another password', { password: 'ingress-password-2' }],
    ['another user', { username: 'applications' }],
    ['no password', { password: '' }],
    ['the login of a device', login('d')],
  ])('%s does not get in', async (_, more) => {
    expect(await knock(more)).toBe({ mqtt3: 4, mqtt5: 0x86 }[column]);
  });

  test('its login is none for devices', async () => {
    expect(await dial(links.bench.mqtt, options)).toBe({ mqtt3: 2, mqtt5: 0x85 }[column]);
    const named = { ...options, clientId: login('d').clientId };
    expect(await dial(links.bench.mqtt, named)).toBe({ mqtt3: 4, mqtt5: 0x86 }[column]);
  });

  test('it has the topics of devices and no others', async () => {
    const app = await application();
    const granted = ['$oc/devices/+/sys/#', '$oc/devices/d/#', '$oc/devices/+/user/+'];
    const refused = ['#', '$oc/#', '$oc/devices/#', '$SYS/#', 'other/topic'];
    const failure = { mqtt3: 0x80, mqtt5: 0x87 }[column];
    expect(await subscribe(app, [...granted, ...refused])).toEqual([1, 1, 1, ...refused.map(() => failure)]);
    const elsewhere = app.publishAsync('other/topic', 'x', { qos: 1 });
    expect(await elsewhere.then(Boolean, ({ code }) => code)).toBe({ mqtt3: true, mqtt5: 0x87 }[column]);
  });
});

test('no password is logged', () => {
  expect(links.bench.logged.length).toBeGreaterThan(0);
  expect(links.bench.logged.join('')).not.toContain(PASSWORD);
});
