import { ChangeKind, SessionEffect } from '@latchkey/protocol/v1';
import { expect, test } from 'vitest';
import { startBench, until } from '../test-bench.ts';
import { setScene } from './test-scene.ts';
import { ACCEPT, connectBytes, device, publishBytes } from './test-upstream.ts';

const scene = setScene();

let named = 0;
function name(): string {
  return `front_${++named}`;
}

function freeze(deviceId: string): void {
  const change = { kind: ChangeKind.FROZEN, effect: SessionEffect.CLOSE_DEVICE };
  scene().bench.table.change({ deviceId, revision: 2n, ...change });
}

test('bytes pass both ways as they are', async () => {
  const { joined } = scene();
  const { near, far } = await joined('d');
  const sent = far.received().length;
  const up = Buffer.from([0xff, 0x00, 0x30, 0x7f]); // no packet: nobody looks at it but the listener's guard
  near.socket.write(publishBytes('$oc/devices/d/a', up));
  far.socket.write(up);
  await far.bytes(sent + publishBytes('$oc/devices/d/a', up).length);
  expect(far.received().subarray(sent)).toEqual(publishBytes('$oc/devices/d/a', up));
  expect((await near.bytes(4 + up.length)).subarray(4)).toEqual(up);
});

test('a device that does not read holds the broker back, and loses nothing', async () => {
  const { joined } = scene();
  const { near, far } = await joined('d');
  near.socket.pause();
  const block = publishBytes('$oc/devices/d/c', Buffer.alloc(1_000_000, 'y'));
  const blocks = 32;
  for (let sent = 0; sent < blocks; sent++) far.socket.write(block);
  let before = -1;
  await until(async () => {
    const now = far.socket.writableLength;
    await new Promise((resolve) => setTimeout(resolve, 200));
    const still = now === before;
    before = now;
    return still;
  });
  // What is on the way lies in buffers of the system, a few megabytes each, and not in the gateway.
  expect(far.socket.writableLength).toBeGreaterThan(8_000_000);
  near.socket.resume();
  const all = (await near.bytes(4 + blocks * block.length)).subarray(4);
  expect(all.equals(Buffer.concat(Array.from({ length: blocks }, () => block)))).toBe(true);
});

test('when the broker closes, the device gets what was sent before, and is closed', async () => {
  const { joined } = scene();
  const { near, far } = await joined('d');
  far.socket.end(publishBytes('$oc/devices/d/c', 'last words'));
  expect((await near.closed).includes('last words')).toBe(true);
});

test('when the broker dies, the device is closed', async () => {
  const { joined } = scene();
  const { near, far } = await joined('d');
  far.socket.resetAndDestroy();
  await near.closed;
});

test('when the device closes, the broker gets what was sent before, and is closed', async () => {
  const { joined } = scene();
  const { near, far } = await joined('d');
  near.socket.end(publishBytes('$oc/devices/d/a', 'last words'));
  expect((await far.closed).includes('last words')).toBe(true);
});

test('when the device dies, the broker is told by a closed connection', async () => {
  const { joined } = scene();
  const { near, far } = await joined('d');
  near.socket.resetAndDestroy();
  await far.closed;
});

test.each([3, 4] as const)('MQTT level %i: a freeze closes both ends and no other link', async (version) => {
  const { joined } = scene();
  const [frozen, other] = [name(), await joined('other')];
  const { near, far } = await joined(frozen, version);
  freeze(frozen);
  expect(await near.closed).toEqual(ACCEPT[version]);
  await far.closed;
  const before = other.far.received().length;
  other.near.socket.write(publishBytes('$oc/devices/other/a', 'still'));
  await other.far.bytes(before + 1);
});

test('MQTT 5: a freeze is said by DISCONNECT where a packet may begin', async () => {
  const { joined } = scene();
  const frozen = name();
  const { near, far } = await joined(frozen, 5);
  far.socket.write(Buffer.from([0xd0, 0]));
  await near.bytes(ACCEPT[5].length + 2);
  freeze(frozen);
  expect((await near.closed).subarray(ACCEPT[5].length)).toEqual(Buffer.from([0xd0, 0, 0xe0, 2, 0x98, 0]));
  await far.closed;
});

test('MQTT 5: in the middle of a packet the link just closes', async () => {
  const { joined } = scene();
  const frozen = name();
  const { near, far } = await joined(frozen, 5);
  far.socket.write(Buffer.from([0x30, 10, 0]));
  await near.bytes(ACCEPT[5].length + 3);
  freeze(frozen);
  expect((await near.closed).subarray(ACCEPT[5].length)).toEqual(Buffer.from([0x30, 10, 0]));
});

test('a freeze while the broker is asked ends the attempt there', async () => {
  const { upstream, open } = scene();
  const [frozen, near, coming] = [name(), await open(), upstream.next()];
  near.socket.write(connectBytes(frozen, 4));
  const far = await coming;
  freeze(frozen);
  expect(await near.closed).toHaveLength(0);
  await far.closed;
});

test('a frozen device that does not read, and sends on, is cut off from the broker at once', async () => {
  const { joined } = scene();
  const frozen = name();
  const { near, far } = await joined(frozen, 5);
  near.socket.pause();
  freeze(frozen);
  await far.closed;
  near.socket.write(publishBytes(`$oc/devices/${frozen}/a`, 'too late'));
  near.socket.resume();
  await near.closed;
  expect(far.received().includes('too late')).toBe(false);
});

test('MQTT 5: a packet over 1 MiB is told so, and the broker gets none of it', async () => {
  const { joined } = scene();
  const { near, far } = await joined('d', 5);
  const before = far.received().length;
  near.socket.write(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]));
  expect((await near.closed).subarray(ACCEPT[5].length)).toEqual(Buffer.from([0xe0, 2, 0x95, 0]));
  expect(await far.closed).toHaveLength(before);
});

test('a gateway that stops ends its links, and tells MQTT 5 why', async () => {
  const { upstream, config } = scene();
  const stopping = await startBench({ upstream: config });
  const [coming, near] = [upstream.next(), await device(stopping.mqtt)];
  near.socket.write(connectBytes('d', 5));
  const far = await coming;
  await far.bytes(2);
  far.socket.write(ACCEPT[5]);
  await near.bytes(ACCEPT[5].length);
  await stopping.stop();
  expect((await near.closed).subarray(ACCEPT[5].length)).toEqual(Buffer.from([0xe0, 2, 0x8b, 0]));
  await far.closed;
});

test('two links of one device both stand: which one stays is the broker’s to say', async () => {
  const { figure, joined } = scene();
  const [first, second] = [await joined('twice'), await joined('twice')];
  const before = first.far.received().length;
  first.near.socket.write(publishBytes('$oc/devices/twice/a', 'x'));
  await first.far.bytes(before + 1);
  expect(await figure('latchkey_gateway_sessions_open')).toBe(2);
  first.far.socket.destroy(); // as a broker does that took the second one
  await first.near.closed;
  await until(async () => (await figure('latchkey_gateway_sessions_open')) === 1);
  expect(second.near.socket.destroyed).toBe(false);
});
