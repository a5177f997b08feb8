import { expect, test } from 'vitest';
import { type Recipient, Router } from './router.ts';
import { Subscriptions } from './subscriptions.ts';

function recipient(...filters: readonly string[]) {
  const heard: string[] = [];
  const subscriptions = new Subscriptions(10);
  for (const filter of filters) subscriptions.add(filter, { qos: 1, noLocal: false, identifier: undefined });
  const deliver: Recipient['deliver'] = ({ payload }, { qos }) => void heard.push(`${payload} ${qos}`);
  return { subscriptions, deliver, heard };
}

function message(topic: string, qos: 0 | 1 = 1) {
  return { topic, payload: Buffer.from('m'), qos, properties: {} } as const;
}

test.each([0, 1] as const)('a system topic reaches its device without a subscription, as published: QoS %i', (qos) => {
  const [router, application, device, other] = [new Router(), recipient(), recipient(), recipient()];
  router.addDevice('d', device);
  router.addDevice('e', other);
  router.publish(message('$oc/devices/d/sys/commands/request_id=1', qos), application);
  router.publish(message('$oc/devices/d/user/x', qos), application);
  expect(device.heard).toEqual([`m ${qos}`]);
  expect(other.heard).toEqual([]);
});

test("a device that subscribed to a system topic gets it once, and none of its own back as the platform's", () => {
  const [router, application, device] = [new Router(), recipient(), recipient('$oc/devices/d/sys/#')];
  const unasked = recipient();
  router.addDevice('d', device);
  router.addDevice('u', unasked);
  router.publish(message('$oc/devices/d/sys/messages/down'), application);
  router.publish(message('$oc/devices/u/sys/messages/down'), unasked);
  expect(device.heard).toEqual(['m 1']);
  expect(unasked.heard).toEqual([]);
});

test('an application hears what it subscribed to, of all devices', () => {
  const [router, application] = [new Router(), recipient('$oc/devices/+/sys/#')];
  router.addApplication(application);
  for (const topic of ['$oc/devices/d/sys/messages/up', '$oc/devices/e/sys/events/up', '$oc/devices/d/user/x']) {
    router.publish(message(topic), recipient());
  }
  expect(application.heard).toHaveLength(2);
  router.removeApplication(application);
  router.publish(message('$oc/devices/d/sys/messages/up'), recipient());
  expect(application.heard).toHaveLength(2);
});

test('the end of a replaced link does not take the newer one away', () => {
  const [router, older, newer] = [new Router(), recipient(), recipient()];
  router.addDevice('d', older);
  router.addDevice('d', newer);
  router.removeDevice('d', older);
  router.publish(message('$oc/devices/d/sys/messages/down'), recipient());
  expect([older.heard, newer.heard]).toEqual([[], ['m 1']]);
  router.removeDevice('d', newer);
  router.publish(message('$oc/devices/d/sys/messages/down'), recipient());
  expect(newer.heard).toEqual(['m 1']);
});
