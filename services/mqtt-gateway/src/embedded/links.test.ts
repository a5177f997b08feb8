import { describe, expect, test } from 'vitest';
import { closed, until } from '../test-bench.ts';
import { connectPacket, hearing, Links, subscribe, VERSIONS } from '../test-links.ts';

const links = new Links();

describe.each(VERSIONS)('$name', ({ speak, column }) => {
  const online = (deviceId: string) => links.online(deviceId, speak);
  const refused = { mqtt3: 0x80, mqtt5: 0x87 }[column];

  test('a device has its own topics and no others', async () => {
    const [own, other] = [await online('d'), await online('e')];
    const heard = hearing(own);
    const owns = ['$oc/devices/d/#', '$oc/devices/d/sys/+/x'];
    const others = ['$oc/devices/d2/up', '$oc/devices/+/up', '#', '+/x', '$SYS/#'];
    expect(await subscribe(own, [...owns, ...others])).toEqual([1, 1, ...others.map(() => refused)]);
    const refusals = () => links.figure('latchkey_mqtt_topics_refused_total{operation="PUBLISH"');
    const before = await refusals();
    const stolen = other.publishAsync('$oc/devices/d/up', 'stolen', { qos: 1 });
    expect(await stolen.then(Boolean, ({ code }) => code)).toBe({ mqtt3: true, mqtt5: 0x87 }[column]);
    await own.publishAsync('$oc/devices/d/up', 'own', { qos: 1 });
    await until(() => heard.length > 0);
    expect(heard).toEqual(['$oc/devices/d/up own']);
    expect(other.connected).toBe(true);
    expect(await refusals()).toBe(before + 1);
  });

  test.each([0, 1] as const)('a device that subscribes hears at QoS %i, once, until it unsubscribes', async (qos) => {
    const client = await online('d');
    const qosHeard: number[] = [];
    client.on('message', (_, __, packet) => qosHeard.push(packet.qos));
    await client.subscribeAsync(['$oc/devices/d/user/#', '$oc/devices/d/user/+'], { qos });
    await client.publishAsync('$oc/devices/d/user/x', 'once', { qos: 1 });
    await until(() => qosHeard.length > 0);
    await client.unsubscribeAsync(['$oc/devices/d/user/#', '$oc/devices/d/user/+']);
    await client.publishAsync('$oc/devices/d/user/x', 'unheard', { qos: 1 });
    await client.subscribeAsync('$oc/devices/d/end');
    await client.publishAsync('$oc/devices/d/end', 'end', { qos: 0 });
    await until(() => qosHeard.length > 1);
    expect(qosHeard).toEqual([qos, 0]);
  });

  test('nothing of a link is kept for the next one: neither subscriptions nor a will', async () => {
    const watcher = { will: { topic: '$oc/devices/d/will', payload: Buffer.from('x'), qos: 1, retain: true } } as const;
    const first = await links.online('d', { ...speak, clean: false, ...watcher });
    await first.subscribeAsync('$oc/devices/d/#', { qos: 1 });
    first.stream.destroy();
    await closed(first);
    const second = await links.online('d', { ...speak, clean: false });
    const heard = hearing(second);
    await second.publishAsync('$oc/devices/d/up', 'unheard', { qos: 1 });
    await second.subscribeAsync('$oc/devices/d/#');
    await second.publishAsync('$oc/devices/d/up', 'heard', { qos: 1 });
    await until(() => heard.length > 0);
    expect(heard).toEqual(['$oc/devices/d/up heard']);
  });

  test('a link has at most 100 subscriptions; one that is given up makes room', async () => {
    const client = await online('d');
    const topics = Array.from({ length: 101 }, (_, index) => `$oc/devices/d/${index}`);
    const full = { mqtt3: 0x80, mqtt5: 0x97 }[column];
    expect(await subscribe(client, topics)).toEqual([...Array.from({ length: 100 }, () => 1), full]);
    expect(await subscribe(client, topics.slice(0, 1))).toEqual([1]);
    await client.unsubscribeAsync(topics.slice(0, 1));
    expect(await subscribe(client, topics.slice(100))).toEqual([1]);
  });

  test('QoS 2 is not spoken: a subscription gets 1, a message ends the link', async () => {
    const client = await online('d');
    const granted = await client.subscribeAsync('$oc/devices/d/#', { qos: 2 });
    expect(granted).toMatchObject([{ qos: 1 }]);
    const ended = closed(client);
    client.stream.write(Buffer.from([0x34, 0x06, 0, 1, 0x61, 0, 1, 0]));
    await ended;
  });

  test('a message of just under 1 MiB goes through, a larger one ends the link as it is announced', async () => {
    const client = await online('d');
    await client.subscribeAsync('$oc/devices/d/#');
    const sizes: number[] = [];
    client.on('message', (_, payload) => sizes.push(payload.length));
    await client.publishAsync('$oc/devices/d/up', Buffer.alloc(1_048_000), { qos: 1 });
    await until(() => sizes.length > 0);
    expect(sizes).toEqual([1_048_000]);
    const ended = closed(client);
    client.stream.write(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]));
    await ended;
  });

  test('what comes behind CONNECT before it is decided on waits for the answer', async () => {
    const asked = Promise.withResolvers<void>();
    const verdict = Promise.withResolvers<void>();
    const { answer } = links.bench.table;
    links.bench.table.answer = async (attempt) => {
      asked.resolve();
      await verdict.promise;
      return answer(attempt);
    };
    const device = await links.speaker(speak.protocolVersion);
    device.send(connectPacket('d', speak.protocolVersion), { cmd: 'pingreq' });
    await asked.promise;
    expect(await device.heard(0)).toEqual([]);
    verdict.resolve();
    expect(await device.heard(2)).toMatchObject([{ cmd: 'connack' }, { cmd: 'pingresp' }]);
  });
});

test('before MQTT 5 a retained message goes out and is not kept', async () => {
  const client = await links.online('d', { protocolVersion: 4 });
  await client.publishAsync('$oc/devices/d/up', 'kept?', { qos: 1, retain: true });
  const heard = hearing(client);
  await client.subscribeAsync('$oc/devices/d/up');
  await client.publishAsync('$oc/devices/d/up', 'live', { qos: 1, retain: true });
  await until(() => heard.length > 0);
  expect(heard).toEqual(['$oc/devices/d/up live']);
});
