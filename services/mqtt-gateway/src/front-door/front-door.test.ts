import { denied, granted } from '@latchkey/gateway-kit/testing';
import { DenyReason } from '@latchkey/protocol/v1';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { dial, login, until } from '../test-bench.ts';
import { PASSWORD, setScene } from './test-scene.ts';
import { ACCEPT, connectBytes, device, firstPacket, publishBytes, type Wire } from './test-upstream.ts';

const VERSIONS = [3, 4, 5] as const;

const scene = setScene();

test.each(VERSIONS)('MQTT level %i: the broker sees the device id and the gateway’s password', async (version) => {
  const { joined } = scene();
  const { near, far } = await joined('a-device_1', version);
  expect(near.received()).toEqual(ACCEPT[version]);
  expect(firstPacket(far.received())).toMatchObject({
    cmd: 'connect',
    protocolVersion: version,
    clientId: 'a-device_1',
    username: 'a-device_1',
    password: Buffer.from(PASSWORD),
    keepalive: 60,
    clean: true,
  });
  const secret = login('a-device_1').password;
  expect(far.received().includes(secret)).toBe(false);
});

test('will, clean flag and properties go to the broker as they came', async () => {
  const { upstream, open } = scene();
  const [near, coming] = [await open(), upstream.next()];
  const will = { topic: '$oc/devices/d/gone', payload: Buffer.from([0, 255]), qos: 1, retain: true } as const;
  const properties = { sessionExpiryInterval: 77, userProperties: { a: 'b' } };
  near.socket.write(connectBytes('d', 5, { will, clean: false, properties }));
  const far = await coming;
  await far.bytes(2);
  await until(() => far.received().includes(PASSWORD));
  expect(firstPacket(far.received())).toMatchObject({ will, clean: false, properties });
});

test.each([
  ['a wrong password', DenyReason.SECRET_MISMATCH, 4, 0x86],
  ['a frozen device', DenyReason.FROZEN, 5, 0x87],
  ['too many attempts', DenyReason.THROTTLED, 3, 0x97],
] as const)('%s is refused, and the broker hears of nothing', async (_, reason, mqtt3, mqtt5) => {
  const { bench, upstream, open } = scene();
  bench.table.answer = () => denied(reason);
  for (const [version, code] of [
    [3, mqtt3],
    [4, mqtt3],
    [5, mqtt5],
  ] as const) {
    const near = await open();
    near.socket.write(connectBytes('d', version));
    expect([...(await near.closed)]).toEqual(version === 5 ? [0x20, 3, 0, code, 0] : [0x20, 2, 0, code]);
  }
  expect(upstream.links).toHaveLength(0);
});

test.each([
  ['a keepalive of 29 s', { keepalive: 29 }, 0x82],
  ['a keepalive of 1201 s', { keepalive: 1201 }, 0x82],
  ['a malformed client id', { clientId: 'd' }, 0x85],
  ['another user name', { username: 'e' }, 0x86],
  ['an authentication method', { properties: { authenticationMethod: 'x' } }, 0x8c],
] as const)('%s is refused before anybody is asked', async (_, more, code) => {
  const { bench, upstream, open } = scene();
  bench.table.answer = () => {
    throw new Error('asked');
  };
  const near = await open();
  near.socket.write(connectBytes('d', 5, more));
  expect([...(await near.closed)]).toEqual([0x20, 3, 0, code, 0]);
  expect(upstream.links).toHaveLength(0);
});

test('a version to come is told so in the form of MQTT 3.1.1', async () => {
  const { open } = scene();
  const near = await open();
  const packet = connectBytes('d', 4);
  packet[8] = 6;
  near.socket.write(packet);
  expect([...(await near.closed)]).toEqual([0x20, 2, 0, 1]);
});

test('what is no CONNECT, or never becomes one, is cut without a word', async () => {
  const { upstream, open, ends } = scene();
  const [garbage, malformed, silent, slow] = [await open(), await open(), await open(), await open()];
  garbage.socket.write(Buffer.from([0x30, 2, 0, 0]));
  malformed.socket.write(Buffer.from([0x10, 2, 0, 9]));
  slow.socket.write(Buffer.from([0x10, 0x7f, 0, 4]));
  const drip = setInterval(() => slow.socket.write('M'), 50);
  ends.push(() => clearInterval(drip));
  for (const each of [garbage, malformed, silent, slow]) expect(await each.closed).toHaveLength(0);
  expect(upstream.links).toHaveLength(0);
});

test('whatever comes in place of a CONNECT, nobody else notices', async () => {
  const { bench, upstream, joined, figure } = scene();
  const { near, far } = await joined('bystander');
  upstream.answer(ACCEPT[4]);
  const mutation = fc.record({ at: fc.nat(120), byte: fc.nat(255) });
  const whole = fc.constantFrom(...VERSIONS.map((version) => connectBytes('mutant', version)));
  const stream = fc.tuple(whole, fc.array(mutation, { minLength: 1, maxLength: 4 }), fc.uint8Array({ maxLength: 50 }));
  await fc.assert(
    fc.asyncProperty(stream, async ([packet, mutations, behind]) => {
      const bytes = Buffer.concat([packet, behind]);
      for (const { at, byte } of mutations) bytes[at % packet.length] = byte;
      const mutant = await device(bench.mqtt);
      mutant.socket.end(bytes);
      await mutant.closed;
    }),
    { seed: 4, numRuns: 150 },
  );
  const before = far.received().length;
  near.socket.write(publishBytes('$oc/devices/bystander/a', 'still here'));
  await far.bytes(before + 1);
  await until(async () => (await figure('latchkey_gateway_sessions_open')) === 1);
});

test('what comes behind CONNECT waits for CONNACK and then goes on, in order and whole', async () => {
  const { upstream, open } = scene();
  const [near, coming] = [await open(), upstream.next()];
  const payload = Buffer.alloc(3_000_000, 'x');
  const behind = Buffer.concat([
    publishBytes('$oc/devices/d/a', 'early'),
    ...[1, 2, 3].map(() => publishBytes('$oc/devices/d/b', payload.subarray(0, 1_000_000))),
  ]);
  near.socket.write(Buffer.concat([connectBytes('d', 4), behind]));
  const far = await coming;
  await far.bytes(2);
  await until(() => far.received().includes(PASSWORD));
  const connect = far.received().length;
  expect(firstPacket(far.received()).cmd).toBe('connect');
  expect(far.received().includes('early')).toBe(false);
  far.socket.write(ACCEPT[4]);
  const all = await far.bytes(connect + behind.length);
  expect(all.subarray(connect).equals(behind)).toBe(true);
});

test('what the broker sends right behind CONNACK reaches the device', async () => {
  const { upstream, open } = scene();
  upstream.answer(Buffer.concat([ACCEPT[4], publishBytes('$oc/devices/d/c', 'command')]));
  const near = await open();
  near.socket.write(connectBytes('d', 4));
  expect((await near.bytes(ACCEPT[4].length + 2)).subarray(0, 4)).toEqual(ACCEPT[4]);
  await until(() => near.received().includes('command'));
});

test('a device that goes while it is decided on leaves nothing, at the broker neither', async () => {
  const { bench, upstream, figure, open } = scene();
  const verdict = Promise.withResolvers<ReturnType<typeof granted>>();
  const asked = Promise.withResolvers<void>();
  bench.table.answer = () => {
    asked.resolve();
    return verdict.promise;
  };
  const overtaken = 'latchkey_gateway_decisions_total{outcome="NONE",reason="OVERTAKEN"';
  const before = await figure(overtaken);
  const near = await open();
  near.socket.write(connectBytes('leaver', 4));
  await asked.promise;
  const noticed = () => bench.logged.filter((line) => line.includes('ECONNRESET')).length;
  const unnoticed = noticed();
  near.socket.resetAndDestroy();
  await until(() => noticed() > unnoticed);
  verdict.resolve(granted('c', 1n));
  await until(async () => (await figure(overtaken)) === before + 1);
  expect(upstream.links).toHaveLength(0);
});

test('a device that goes while the broker is asked takes its link there with it', async () => {
  const { upstream, figure, open } = scene();
  const [near, coming] = [await open(), upstream.next()];
  near.socket.write(connectBytes('d', 4));
  const far = await coming;
  near.socket.end();
  await far.closed;
  expect(await figure('latchkey_mqtt_upstream_failures_total')).toBe(0);
});

test.each([
  ['closes at once', 'NO_CONNACK', ({ socket }: Wire) => socket.destroy()],
  ['says nothing', 'DEADLINE', () => undefined],
  ['answers what is no CONNACK', 'NO_CONNACK', ({ socket }: Wire) => socket.write(Buffer.from([0xd0, 0]))],
  [
    'announces a CONNACK without end',
    'NO_CONNACK',
    ({ socket }: Wire) => socket.write(Buffer.from([0x20, 0xff, 0xff, 0x7f])),
  ],
  ['refuses the gateway', 'REFUSED', ({ socket }: Wire) => socket.write(Buffer.from([0x20, 2, 0, 4]))],
] as const)('a broker that %s is "unavailable" to the device, and counted', async (_, cause, greet) => {
  const { upstream, figure, open } = scene();
  const counted = `latchkey_mqtt_upstream_failures_total{cause="${cause}"`;
  for (const version of [4, 5] as const) {
    const before = await figure(counted);
    upstream.greet = greet;
    const near = await open();
    near.socket.write(connectBytes('d', version));
    expect([...(await near.closed)]).toEqual(version === 5 ? [0x20, 3, 0, 0x88, 0] : [0x20, 2, 0, 3]);
    expect(await figure(counted)).toBe(before + 1);
    await Promise.all(upstream.links.map(({ closed }) => closed));
  }
});

test('a broker’s words about itself do not reach the device', async () => {
  const { upstream, open } = scene();
  // MQTT 5: 0x9d, server moved, with the other server's name (0x1c).
  const where = Buffer.from('10.1.2.3:1883');
  upstream.answer(
    Buffer.concat([Buffer.from([0x20, 6 + where.length, 0, 0x9d, 3 + where.length, 0x1c, 0, where.length]), where]),
  );
  const near = await open();
  near.socket.write(connectBytes('d', 5));
  expect([...(await near.closed)]).toEqual([0x20, 3, 0, 0x88, 0]);
});

test.each([
  [4, [0x20, 2, 0, 1], [0x20, 2, 0, 1]],
  [5, [0x20, 2, 0, 1], [0x20, 3, 0, 0x84, 0]],
  [5, [0x20, 3, 0, 0x84, 0], [0x20, 3, 0, 0x84, 0]],
] as const)('MQTT level %i: that the broker does not speak the version is told', async (version, answer, told) => {
  const { upstream, open } = scene();
  upstream.answer(Buffer.from(answer));
  const near = await open();
  near.socket.write(connectBytes('d', version));
  expect([...(await near.closed)]).toEqual(told);
});

test('no password is logged, neither the device’s nor the gateway’s', async () => {
  const { bench, upstream, joined } = scene();
  await joined('d');
  upstream.answer(Buffer.from([0x20, 2, 0, 5]));
  await dial(bench.mqtt, login('d'));
  expect(bench.logged.join('')).toContain('the upstream broker did not take a link');
  expect(bench.logged.join('')).not.toContain(PASSWORD);
  expect(bench.logged.join('')).not.toContain(login('d').password);
});
