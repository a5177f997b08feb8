import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { systemClock, systemRandom } from '@latchkey/kernel';
import { Protocol } from '@latchkey/protocol/v1';
import { createLog, createRegistry } from '@latchkey/runtime';
import { afterEach, expect, test, vi } from 'vitest';
import { connectAuth } from './auth-client.ts';
import { gatewayMetrics } from './metrics.ts';
import { granted, TableAuth } from './testing.ts';

const UNTIL = { timeout: 20_000, interval: 20 };
const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** A process behind the address; it counts what it is asked. */
class Process {
  readonly table = new TableAuth();
  port = 0;
  asked = 0;
  described = 0;

  constructor(id: string, sharing: number) {
    this.table.answer = () => {
      this.asked += 1;
      return granted(id, 1n);
    };
    this.table.identify = () => {
      this.described += 1;
      return { replicaId: id, sharing };
    };
    ends.push(() => this.table.stop());
  }

  async start(): Promise<this> {
    this.port = await this.table.start();
    return this;
  }
}

/** One address, which hands each connection to the process that `turn` says. */
async function share(turn: (connection: number) => Process) {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    const onward = connect(turn(connections++).port, '127.0.0.1');
    for (const end of [socket, onward]) {
      sockets.add(end);
      end.on('error', () => undefined);
    }
    socket.pipe(onward).pipe(socket);
    socket.on('close', () => onward.destroy());
    onward.on('close', () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const registry = createRegistry('test');
  const metrics = gatewayMetrics(registry, { sessionsOpen: () => 0, monotonic: systemClock.monotonic });
  const auth = connectAuth({
    addresses: [{ host: '127.0.0.1', port: (server.address() as AddressInfo).port }],
    ...{ clock: systemClock, random: systemRandom, metrics, maxInFlight: 100 },
    log: createLog({ service: 'test', level: 'error' }),
  });
  ends.push(() => {
    auth.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const attempt = {
    ...{ deviceId: 'd', protocol: Protocol.MQTT, source: '127.0.0.1' },
    proof: { kind: { case: 'secret', value: { secret: '12345678' } } },
  } as const;
  return {
    /** The connections that were made so far. */
    made: () => connections,
    ask: (count: number) => Promise.all(Array.from({ length: count }, () => auth.authenticate(attempt))),
    usable: (count: number) =>
      vi.waitFor(
        async () => expect(await registry.metrics()).toMatch(`replicas_usable{service="test"} ${count}\n`),
        UNTIL,
      ),
  };
}

test('of three processes that share an address each has a connection, and a third of the questions', async () => {
  const three = await Promise.all(['a', 'b', 'c'].map((id) => new Process(id, 3).start()));
  const { ask, usable, made } = await share((connection) => three[connection % 3] as Process);
  await usable(3);
  await ask(30);
  expect(three.map(({ asked }) => asked)).toEqual([10, 10, 10]);
  expect(made()).toBe(3);
});

test('a connection that comes to a process twice is tried again, and carries no questions', async () => {
  const [a, b] = [await new Process('a', 2).start(), await new Process('b', 2).start()];
  const { ask, usable, made } = await share((connection) => (connection < 3 ? a : b));
  await usable(2);
  expect(made()).toBe(4);
  await ask(10);
  expect([a.asked, b.asked]).toEqual([5, 5]);
});

test('processes that cannot decide on every device have a connection each as well', async () => {
  const two = await Promise.all(['a', 'b'].map((id) => new Process(id, 2).start()));
  for (const { table } of two) table.serving = false;
  const { ask, usable, made } = await share((connection) => two[connection % 2] as Process);
  await vi.waitFor(() => expect(two.map(({ described }) => described > 1)).toEqual([true, true]), UNTIL);
  await usable(0);
  await ask(10);
  expect([two.map(({ asked }) => asked), made()]).toEqual([[5, 5], 2]);
});

test('a process that stands alone has one connection, whether it says so or is of an older version', async () => {
  const alone = await new Process('a', 1).start();
  const { usable, made } = await share(() => alone);
  await vi.waitFor(() => expect(alone.described).toBe(3), UNTIL);
  expect(made()).toBe(1);
  alone.table.identify = undefined;
  await usable(1);
  expect(made()).toBe(1);
});

test('a process that is gone is done without, and the one in its place has a connection again', async () => {
  const a = await new Process('a', 2).start();
  let other = await new Process('b', 2).start();
  let isThere = true;
  const { ask, usable } = await share((connection) => (isThere && connection % 2 === 1 ? other : a));
  await usable(2);
  isThere = false;
  other.table.stop();
  await usable(1);
  expect((await ask(20)).map(({ decision }) => decision)).toEqual(Array(20).fill('GRANTED'));
  // The lost connection came to `a`, which has one: it is given up, and what is asked stays at one connection.
  const before = a.described;
  await vi.waitFor(() => expect(a.described).toBeGreaterThan(before + 3), UNTIL);
  await usable(1);
  other = await new Process('c', 2).start();
  isThere = true;
  await usable(2);
  const asked = a.asked;
  await ask(10);
  expect([a.asked - asked, other.asked]).toEqual([5, 5]);
});
