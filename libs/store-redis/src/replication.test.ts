import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseRedisUrl } from './address.ts';
import { onlyShard } from './fixture.ts';
import { Followers } from './followers.ts';
import { untilReplicated } from './redis-sentinel.ts';
import { type RedisServer, startRedisServer } from './redis-server.ts';
import { Replication, requiredOf } from './replication.ts';
import { openSession } from './session.ts';

let primary: RedisServer;
let replica: RedisServer;

beforeAll(async () => {
  primary = await startRedisServer({ appendfsync: 'everysec' });
  const follow = ['--replicaof', '127.0.0.1', String(primary.port), '--repl-diskless-sync-delay', '0'];
  replica = await startRedisServer({ appendfsync: 'everysec', args: follow });
  await untilReplicated(primary, 1);
});
afterAll(async () => {
  await Promise.all([primary.stop(), replica.stop()]);
});

test('what another connection wrote is confirmed only when the replicas have it', async () => {
  const address = parseRedisUrl(primary.url);
  const [mine, other] = await Promise.all([openSession(address), openSession(address)]);
  const replication = new Replication(mine, () => 1);
  const written = () => replication.confirmed(mine.call(['SET', 'mine', '1'])).catch(() => undefined);
  await expect.poll(written, { timeout: 20_000 }).toBe('OK');
  replica.signal('SIGSTOP');
  try {
    await other.call(['SET', 'other', '1']);
    // A WAIT alone would speak of this connection, whose last write they have.
    await expect(replication.confirmUpTo(onlyShard(), 1)).rejects.toThrow('0 of 1 Redis replicas took the write');
  } finally {
    replica.signal('SIGCONT');
  }
  const confirmed = (position: number) => replication.confirmUpTo(onlyShard(), position).catch(() => undefined);
  await expect.poll(() => confirmed(1), { timeout: 20_000 }).toBe(true);
  expect(await confirmed(1)).toBe(false);
  await expect.poll(() => confirmed(2), { timeout: 20_000 }).toBe(true);
  for (const session of [mine, other]) session.end('done');
});

test('a WAIT is not satisfied by fewer than are known when it ends', async () => {
  const session = await openSession(parseRedisUrl(primary.url));
  let required = 1;
  const replication = new Replication(session, () => required);
  const confirmed = replication.confirmed(session.call(['SET', 'mine', '2']));
  setImmediate(() => setImmediate(() => (required = 2)));
  await expect(confirmed).rejects.toThrow('of 2 Redis replicas took the write');
  session.end('done');
});

test('all that could take over must have a write, at least one, unless a number is given', () => {
  expect([0, 1, 2].map((followers) => requiredOf(undefined, followers))).toEqual([1, 1, 2]);
  expect([0, 1, 2].map((followers) => requiredOf(1, followers))).toEqual([1, 1, 1]);
});

test('more followers are believed at once, fewer only after five looks', () => {
  const followers = new Followers();
  const counts = [1, 2, 1, 1, 1, 1, 1, 0].map((count) => {
    followers.note(count);
    return followers.count;
  });
  expect(counts).toEqual([1, 2, 2, 2, 2, 2, 1, 1]);
});
