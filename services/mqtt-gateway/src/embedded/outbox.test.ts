import { type IPublishPacket, parser } from 'mqtt-packet';
import { beforeEach, expect, test } from 'vitest';
import type { Message } from './codec.ts';
import { type Drop, Outbox, type OutboxOptions } from './outbox.ts';

let written: IPublishPacket[];
let dropped: Drop[];
let unsent: number;
let nowMs: number;

beforeEach(() => {
  [written, dropped, unsent, nowMs] = [[], [], 0, 0];
});

function outbox(more: Partial<OutboxOptions> = {}): Outbox {
  const reader = parser({ protocolVersion: 5 });
  reader.on('packet', (packet) => written.push(packet as IPublishPacket));
  return new Outbox({
    version: 5,
    write: (bytes) => void reader.parse(bytes),
    unsentBytes: () => unsent,
    receiveMaximum: undefined,
    maximumPacketSize: undefined,
    dropped: (why) => void dropped.push(why),
    monotonic: () => nowMs,
    ...more,
  });
}

function message(payload: string | Buffer, more: Partial<Message> = {}): Message {
  return { topic: 't', payload: Buffer.from(payload), qos: 1, properties: {}, ...more };
}

const AT_ONE = { qos: 1, identifiers: [] } as const;
const payloads = () => written.map(({ payload }) => String(payload));

test('no more is in flight than both ends allow; PUBACK makes room, in order', () => {
  const box = outbox({ receiveMaximum: 2 });
  for (const payload of ['1', '2', '3', '4']) box.push(message(payload), AT_ONE);
  expect(payloads()).toEqual(['1', '2']);
  const [first, second] = written;
  box.acknowledge(second?.messageId);
  expect(payloads()).toEqual(['1', '2', '3']);
  box.acknowledge(second?.messageId); // again, for nobody
  box.acknowledge(undefined);
  expect(payloads()).toEqual(['1', '2', '3']);
  box.acknowledge(first?.messageId);
  expect(payloads()).toEqual(['1', '2', '3', '4']);
});

test('32 are in flight and 100 wait; what comes beyond is dropped', () => {
  const box = outbox({ receiveMaximum: 65_535 });
  for (let count = 0; count < 140; count++) box.push(message(String(count)), AT_ONE);
  expect(written).toHaveLength(32);
  expect(dropped).toEqual(Array.from({ length: 8 }, () => 'SLOW'));
  expect(new Set(written.map(({ messageId }) => messageId)).size).toBe(32);
});

test('QoS 0 does not wait for acknowledgements, and the lower QoS of message and subscription counts', () => {
  const box = outbox({ receiveMaximum: 1 });
  box.push(message('waits for PUBACK'), AT_ONE);
  box.push(message('a'), { qos: 0, identifiers: [] });
  box.push(message('b', { qos: 0 }), AT_ONE);
  expect(written.map(({ qos }) => qos)).toEqual([1, 0, 0]);
});

test('queue and socket together hold 2 MiB', () => {
  const box = outbox({ receiveMaximum: 1 });
  const megabyte = Buffer.alloc(1_048_000);
  for (let count = 0; count < 4; count++) box.push(message(megabyte), AT_ONE);
  expect(dropped).toEqual(['SLOW']);
  unsent = 2_097_152;
  box.push(message('', { qos: 0 }), AT_ONE);
  expect(dropped).toEqual(['SLOW', 'SLOW']);
});

test('identifiers go round and leave out those that are in use', () => {
  const box = outbox();
  box.push(message('kept'), AT_ONE);
  for (let count = 0; count < 65_540; count++) {
    box.push(message(''), AT_ONE);
    box.acknowledge(written.at(-1)?.messageId);
  }
  const [kept, ...others] = written.map(({ messageId }) => messageId);
  expect(others).toHaveLength(65_540);
  expect(others).not.toContain(kept);
  expect(others).not.toContain(0);
});

test('a message that waits gets older, and one that expired does not go out', () => {
  const box = outbox({ receiveMaximum: 1 });
  box.push(message('first'), AT_ONE);
  box.push(message('expires', { properties: { messageExpiryInterval: 5 } }), AT_ONE);
  box.push(message('lasts', { properties: { messageExpiryInterval: 60 } }), AT_ONE);
  nowMs = 10_500;
  box.acknowledge(written[0]?.messageId);
  expect(payloads()).toEqual(['first', 'lasts']);
  expect(written[1]?.properties).toEqual({ messageExpiryInterval: 50 });
  expect(dropped).toEqual(['EXPIRED']);
});
