import fc from 'fast-check';
import { expect, test } from 'vitest';
import { deviceOf, isPushed, isTopicFilter, isTopicName, matches } from './topics.ts';

test.each([
  ['messages/down', true],
  ['commands/request_id=1', true],
  ['properties/set/request_id=1', true],
  ['properties/get/request_id=1', true],
  ['shadow/get/response/request_id=1', true],
  ['events/down', true],
  ['messages/up', false],
  ['commands/response/request_id=1', false],
  ['properties/report', false],
  ['properties/set/response/request_id=1', false],
  ['properties/get/response/request_id=1', false],
  ['shadow/get/request_id=1', false],
  ['events/up', false],
  ['events/down/x', false],
  ['commands/request_id=', false],
])('sys/%s goes from the platform to the device: %s', (rest, is) => {
  expect(isPushed(`$oc/devices/product_node/sys/${rest}`)).toBe(is);
});

test.each([
  ['$oc/devices/d/x', 'd'],
  ['$oc/devices/d/', undefined],
  ['$oc/devices/d', undefined],
  ['$oc/devices//x', undefined],
  ['$oc/devices/d e/x', undefined],
  ['oc/devices/d/x', undefined],
  [`$oc/devices/${'d'.repeat(129)}/x`, undefined],
])('%s is a topic of %s', (topic, deviceId) => {
  expect(deviceOf(topic)).toBe(deviceId);
});

test.each(['', 'a/+', 'a/#', '#', 'a\0b', 'a\ufffdb', 'a'.repeat(513), 'a/'.repeat(32)])(
  '%j is no topic name',
  (topic) => {
    expect(isTopicName(topic)).toBe(false);
  },
);

test.each(['', 'a#', '#/a', 'a/#/b', 'a+', '+a/b', 'a/+b', 'a\0', '+/'.repeat(32)])('%j is no filter', (filter) => {
  expect(isTopicFilter(filter)).toBe(false);
});

// The examples of MQTT 5.0, 4.7.1 and 4.7.2.
test.each([
  ['sport/tennis/player1/#', 'sport/tennis/player1', true],
  ['sport/tennis/player1/#', 'sport/tennis/player1/ranking', true],
  ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
  ['sport/#', 'sport', true],
  ['#', 'sport', true],
  ['sport/tennis/+', 'sport/tennis/player1', true],
  ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
  ['sport/+', 'sport', false],
  ['sport/+', 'sport/', true],
  ['+/+', '/finance', true],
  ['/+', '/finance', true],
  ['+', '/finance', false],
  ['#', '$SYS/x', false],
  ['+/monitor/Clients', '$SYS/monitor/Clients', false],
  ['$SYS/#', '$SYS/x', true],
  ['$SYS/monitor/+', '$SYS/monitor/Clients', true],
])('%s takes %s: %s', (filter, topic, is) => {
  expect(isTopicFilter(filter)).toBe(true);
  expect(matches(filter.split('/'), topic.split('/'))).toBe(is);
});

test('a topic is taken by itself, and by itself with any levels replaced', () => {
  const level = fc.stringMatching(/^[a-z]{0,3}$/);
  const levels = fc.array(fc.tuple(level, fc.boolean()), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(levels, fc.nat(8), (pairs, cut) => {
      const topic = pairs.map(([text]) => text);
      const filter = pairs.map(([text, wild]) => (wild ? '+' : text));
      expect(matches(topic, topic)).toBe(true);
      expect(matches(filter, topic)).toBe(true);
      expect(matches([...filter.slice(0, cut), '#'], topic)).toBe(true);
      expect(matches([...filter, 'more'], topic)).toBe(false);
    }),
  );
});
