import { status } from '@grpc/grpc-js';
import { systemClock, systemRandom } from '@latchkey/kernel';
import { DenyReason, Protocol, SessionStanding } from '@latchkey/protocol/v1';
import { RpcError } from '@latchkey/rpc';
import { createLog, createRegistry } from '@latchkey/runtime';
import { afterEach, expect, test, vi } from 'vitest';
import { type AuthClient, connectAuth } from './auth-client.ts';
import { gatewayMetrics } from './metrics.ts';
import { denied, granted, TableAuth } from './testing.ts';

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

const ATTEMPT = {
  deviceId: 'd',
  protocol: Protocol.MQTT,
  proof: { kind: { case: 'secret', value: { secret: '12345678' } } },
  source: '127.0.0.1',
} as const;

const AWAY = () => {
  throw new RpcError(status.UNAVAILABLE, 'no lease');
};
const SILENT = () => new Promise<never>(() => undefined);

/** Three replicas; each grants, and counts who was asked. After half of the deadline another one is asked. */
async function fleet(deadlineMs = 40_000) {
  const asked = [0, 0, 0];
  const tables = [new TableAuth(), new TableAuth(), new TableAuth()] as const;
  const ports: number[] = [];
  for (const [at, table] of tables.entries()) {
    ports.push(await table.start());
    ends.push(() => table.stop());
    answers(table, at, asked, () => granted(`c${at}`, 1n));
  }
  const registry = createRegistry('test');
  const metrics = gatewayMetrics(registry, { sessionsOpen: () => 0, monotonic: systemClock.monotonic });
  const auth = connectAuth({
    addresses: ports.map((port) => ({ host: '127.0.0.1', port })),
    ...{ clock: systemClock, random: systemRandom, metrics, deadlineMs, maxInFlight: 100 },
    log: createLog({ service: 'test', level: 'error' }),
  });
  ends.push(() => auth.close());
  const usable = async (count: number) =>
    vi.waitFor(async () => expect(await registry.metrics()).toMatch(`replicas_usable{service="test"} ${count}`), {
      ...{ timeout: 20_000, interval: 20 },
    });
  return { auth, asked, tables, ports, registry, usable };
}

function answers(table: TableAuth, at: number, asked: number[], answer: TableAuth['answer']): void {
  table.answer = (attempt) => {
    asked[at] = (asked[at] ?? 0) + 1;
    return answer(attempt);
  };
}

const many = (auth: AuthClient, count: number) =>
  Promise.all(Array.from({ length: count }, () => auth.authenticate(ATTEMPT)));

test('questions go to whoever has the least to do', async () => {
  const { auth, asked, tables } = await fleet();
  await many(auth, 30);
  expect(asked).toEqual([10, 10, 10]);
  const held = Promise.withResolvers<ReturnType<typeof granted>>();
  answers(tables[0], 0, asked, () => held.promise);
  let answered = 0;
  const waiting = Promise.all([1, 2, 3].map(() => auth.authenticate(ATTEMPT).then(() => answered++)));
  await vi.waitFor(() => expect(asked).toEqual([11, 11, 11]), 20_000);
  await vi.waitFor(() => expect(answered).toBe(2), 20_000); // a replica has its question in hand until its answer is here
  for (let count = 0; count < 10; count++) await auth.authenticate(ATTEMPT);
  expect(asked).toEqual([11, 16, 16]);
  held.resolve(granted('c', 1n));
  await waiting;
});

test('what one replica cannot answer another one is asked, and the first is passed over until its health is checked', async () => {
  const { auth, asked, tables, registry, usable } = await fleet();
  answers(tables[1], 1, asked, AWAY);
  tables[1].serving = false;
  expect((await many(auth, 30)).map(({ decision }) => decision)).toEqual(Array(30).fill('GRANTED'));
  await usable(2);
  const before = asked[1];
  expect((await many(auth, 30)).map(({ decision }) => decision)).toEqual(Array(30).fill('GRANTED'));
  expect(asked[1]).toBe(before);
  expect(await registry.metrics()).toMatch(`asked_again_total{service="test"} ${before}`);
  answers(tables[1], 1, asked, () => granted('c', 1n));
  tables[1].serving = true;
  await usable(3);
  await many(auth, 3);
  expect(asked[1]).toBe((before ?? 0) + 1);
});

test('a replica that says nothing costs half of the time, and its question is answered by another one', async () => {
  const { auth, asked, tables } = await fleet(4_000);
  answers(tables[2], 2, asked, SILENT);
  expect((await many(auth, 3)).map(({ decision }) => decision)).toEqual(['GRANTED', 'GRANTED', 'GRANTED']);
  expect(asked.reduce((sum, count) => sum + count)).toBe(4);
});

test('a replica that leaves is left before a question fails', async () => {
  const { auth, asked, tables, usable } = await fleet();
  tables[0].serving = false;
  await usable(2);
  await many(auth, 10);
  expect(asked).toEqual([0, 5, 5]);
});

test('a question is asked twice and no more', async () => {
  const { auth, asked, tables } = await fleet();
  for (const [at, table] of tables.entries()) answers(table, at, asked, AWAY);
  expect(await auth.authenticate(ATTEMPT)).toEqual({ decision: 'NONE', cause: 'UNAVAILABLE' });
  expect(asked.reduce((sum, count) => sum + count)).toBe(2);
});

test('with none that is usable each question is still asked, once', async () => {
  const { auth, asked, tables, usable } = await fleet();
  for (const table of tables) table.serving = false;
  await usable(0);
  expect(await auth.authenticate(ATTEMPT)).toMatchObject({ decision: 'GRANTED' });
  for (const [at, table] of tables.entries()) answers(table, at, asked, AWAY);
  expect(await auth.authenticate(ATTEMPT)).toEqual({ decision: 'NONE', cause: 'UNAVAILABLE' });
  expect(asked.reduce((sum, count) => sum + count)).toBe(2);
});

test('a denial and a failure that is not of the replica are not asked about again', async () => {
  const { auth, asked, tables } = await fleet();
  for (const [at, table] of tables.entries()) answers(table, at, asked, () => denied(DenyReason.SECRET_MISMATCH));
  expect(await auth.authenticate(ATTEMPT)).toMatchObject({ decision: 'DENIED' });
  for (const [at, table] of tables.entries()) {
    answers(table, at, asked, () => {
      throw new RpcError(status.INTERNAL, 'broken');
    });
  }
  expect(await auth.authenticate(ATTEMPT)).toEqual({ decision: 'NONE', cause: 'FAILED' });
  expect(asked.reduce((sum, count) => sum + count)).toBe(2);
});

test('replicas that are away fail at once, and serve when they come back', async () => {
  const { auth, asked, tables, ports, usable } = await fleet(60_000);
  for (const table of tables) table.stop();
  await usable(0);
  expect((await many(auth, 5)).map((decision) => decision)).toEqual(
    Array(5).fill({ decision: 'NONE', cause: 'UNAVAILABLE' }),
  );
  await tables[1].start(ports[1]);
  await usable(1);
  expect(await auth.authenticate(ATTEMPT)).toMatchObject({ decision: 'GRANTED' });
  expect(asked[1]).toBe(1);
});

test('sessions are checked by another replica, too', async () => {
  const { auth, tables } = await fleet();
  for (const table of tables) table.check = ({ sessions }) => sessions.map(() => SessionStanding.GOOD);
  tables[0].check = AWAY;
  const claim = { deviceId: 'd', credentialId: 'c', revision: 1n, basis: new Uint8Array() };
  for (let count = 0; count < 3; count++) expect(await auth.checkSessions([claim], 0n)).toEqual([SessionStanding.GOOD]);
});

test('changes are followed at another replica each time, and not at one that is passed over', async () => {
  const { auth, tables, usable } = await fleet();
  const follow = () => {
    const stream = auth.watchChanges('7');
    stream.on('error', () => undefined);
    ends.push(() => stream.cancel());
  };
  const followed = () => tables.map(({ cursors }) => cursors.length);
  follow();
  await vi.waitFor(() => expect(followed().sort()).toEqual([0, 0, 1]), 20_000);
  follow();
  await vi.waitFor(() => expect(followed().sort()).toEqual([0, 1, 1]), 20_000);
  tables[0].serving = false;
  await usable(2);
  const before = tables[0].cursors.length;
  for (let count = 0; count < 4; count++) follow();
  await vi.waitFor(() => expect(tables[1].cursors.length + tables[2].cursors.length).toBe(6 - before), 20_000);
  expect(tables[0].cursors.length).toBe(before);
  expect(tables[1].cursors.concat(tables[2].cursors)).toEqual(Array(6 - before).fill('7'));
});
