import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { generate, type Packet } from 'mqtt-packet';
import { expect, test } from 'vitest';
import { until } from '../test-bench.ts';
import { connectPacket, gone, Links } from '../test-links.ts';

const links = new Links({ deadlines: { connectMs: 400 } });
const bystander = () => links.online('bystander', { protocolVersion: 4 });

test('a CONNECT that does not come in time is cut', async () => {
  const idle = await links.socket();
  const slow = await links.socket();
  slow.write(Buffer.from([0x10, 0x7f, 0, 4]));
  const drip = setInterval(() => slow.write('M'), 100);
  links.after(() => clearInterval(drip));
  await Promise.all([gone(idle), gone(slow)]);
});

test('garbage, endless packets and resets of the connection end that connection alone', async () => {
  const client = await bystander();
  for (const bytes of [
    randomBytes(1_000_000),
    Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]),
    Buffer.alloc(70_000, 0x10),
  ]) {
    const tcp = await links.socket();
    tcp.write(bytes);
    await gone(tcp);
  }
  const reset = await links.socket();
  reset.write(Buffer.from([0x10, 0x10]));
  reset.resetAndDestroy();
  await client.publishAsync('$oc/devices/bystander/up', 'x', { qos: 1 });
});

test('a version to come is answered with code 1', async () => {
  const tcp = await links.socket();
  const answer = new Promise((resolve) => tcp.once('data', resolve));
  const connect = generate(connectPacket('d', 4));
  connect[8] = 6; // the protocol level
  tcp.write(connect);
  expect(await answer).toEqual(Buffer.from([0x20, 2, 0, 1]));
  await gone(tcp);
});

test('too many packets behind CONNECT cut the connection before it is answered', async () => {
  links.bench.table.answer = () => new Promise<never>(() => undefined);
  const tcp = await links.socket();
  let answered = 0;
  tcp.on('data', (chunk) => {
    answered += chunk.length;
  });
  tcp.write(generate(connectPacket('d', 4)));
  tcp.write(Buffer.alloc(200, Buffer.from([0xc0, 0x00])));
  await gone(tcp);
  expect(answered).toBe(0);
});

/** Packets as a device of each version would send them, to be damaged. */
function conversation(protocolVersion: 3 | 4 | 5): readonly Packet[] {
  const topic = '$oc/devices/fuzzed/up';
  const properties = protocolVersion === 5 ? { properties: { userProperties: { a: 'b' } } } : {};
  return [
    {
      ...connectPacket('fuzzed', protocolVersion),
      will: { topic, payload: Buffer.from('x'), qos: 0, retain: false },
    },
    { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '$oc/devices/fuzzed/#', qos: 1 }] },
    { cmd: 'publish', topic, payload: 'x', qos: 1, messageId: 2, dup: false, retain: false, ...properties },
    { cmd: 'puback', messageId: 1, reasonCode: 0 },
    { cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['$oc/devices/fuzzed/#'] },
    { cmd: 'pingreq' },
    { cmd: 'disconnect', reasonCode: 0 },
  ];
}

const damage = fc.array(
  fc.record({
    at: fc.nat(),
    how: fc.constantFrom('SET', 'CUT', 'INSERT', 'REPEAT'),
    byte: fc.integer({ max: 255, min: 0 }),
  }),
  { minLength: 1, maxLength: 6 },
);

function damaged(whole: Buffer, wounds: readonly { at: number; how: string; byte: number }[]): Buffer {
  let bytes = whole;
  for (const { at, how, byte } of wounds) {
    const index = at % Math.max(bytes.length, 1);
    const [head, tail] = [bytes.subarray(0, index), bytes.subarray(index)];
    if (how === 'SET') bytes = Buffer.concat([head, Buffer.from([byte]), tail.subarray(1)]);
    if (how === 'CUT') bytes = Buffer.concat([head, tail.subarray(byte % 16)]);
    if (how === 'INSERT') bytes = Buffer.concat([head, Buffer.from([byte]), tail]);
    if (how === 'REPEAT') bytes = Buffer.concat([head, tail.subarray(0, byte), tail]);
  }
  return bytes;
}

test('damaged conversations neither stop the gateway nor leave a session', async () => {
  const client = await bystander();
  const errors = () => links.bench.logged.filter((line) => line.includes('"level":"error"'));
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(3, 4, 5),
      damage,
      fc.integer({ min: 1, max: 200 }),
      async (version, wounds, cut) => {
        const whole = Buffer.concat(
          conversation(version).map((packet) => generate(packet, { protocolVersion: version })),
        );
        const bytes = damaged(whole, wounds);
        const tcp = await links.socket();
        for (let at = 0; at < bytes.length; at += cut) tcp.write(bytes.subarray(at, at + cut));
        tcp.end();
        await gone(tcp);
      },
    ),
    { seed: 20261123, numRuns: 400 },
  );
  await client.publishAsync('$oc/devices/bystander/up', 'x', { qos: 1 });
  await until(async () => (await links.openSessions()) === 1);
  expect(errors()).toEqual([]);
});
