import { systemRandom, toRevision } from '@latchkey/kernel';
import { packState, revisionOf, sealedUnder, unpackRecord } from '@latchkey/store';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseRedisUrl } from './address.ts';
import { command, device, newKeyring, onlyShard, openOn, stateOf, writeOf } from './fixture.ts';
import { callHeartbeat, callReseal, loadFunctions } from './functions.ts';
import { recordKey } from './keys.ts';
import { type RedisServer, startRedisServer } from './redis-server.ts';
import { openSession, type Session } from './session.ts';

const keyring = newKeyring();
const DEVICE = device('a');
const KEY = recordKey(onlyShard(), DEVICE);
let server: RedisServer;
let session: Session;

beforeAll(async () => {
  server = await startRedisServer();
  session = await openSession(parseRedisUrl(server.url));
});
afterAll(async () => {
  session.end('done');
  await server.stop();
});

async function lying(): Promise<Buffer> {
  return Buffer.from((await command(server, 'GET', KEY)) as Buffer);
}

test('a body is replaced only under the revision it was read at, and the header stays', async () => {
  const store = await openOn(server, keyring);
  await store.write(writeOf(DEVICE, undefined, { effect: { close: 'DEVICE' } }));
  const { revision } = await store.write(writeOf(DEVICE, toRevision(1)));
  await store.close();
  const before = await lying();
  const body = packState(stateOf(DEVICE), keyring, systemRandom);
  expect(await callReseal(session, KEY, toRevision(1), body)).toBe(false);
  expect(await callReseal(session, recordKey(onlyShard(), device('none')), toRevision(0), body)).toBe(false);
  expect(await lying()).toEqual(before);
  expect(await callReseal(session, KEY, revision, body)).toBe(true);
  const after = await lying();
  expect(after).not.toEqual(before);
  expect(revisionOf(after, DEVICE)).toBe(2);
  expect(sealedUnder(after, DEVICE)).toBe(keyring.current.reference);
  expect(unpackRecord(after, keyring, DEVICE)).toMatchObject({ revision: 2, sessionsClosedAt: 1 });
});

test('revisions are exact up to 2^53 - 1', async () => {
  const last = Number.MAX_SAFE_INTEGER;
  await command(server, 'FLUSHALL');
  const store = await openOn(server, keyring);
  await command(server, 'XADD', 'lk:{0}:log', `0-${last - 2}`, 'e', 'n UPDATED - z');
  await store.close();
  const again = await openOn(server, keyring);
  const first = await again.write(writeOf(DEVICE, undefined, { effect: { close: 'DEVICE' } }));
  expect(first.revision).toBe(last - 1);
  expect(await again.write(writeOf(DEVICE))).toEqual({ outcome: 'CONFLICT', revision: last - 1 });
  expect((await again.write(writeOf(DEVICE, first.revision))).revision).toBe(last);
  expect(await again.read(DEVICE)).toMatchObject({ revision: last, sessionsClosedAt: last - 1 });
  await again.close();
});

test('functions that are there stay unless they are to be replaced', async () => {
  await command(server, 'FUNCTION', 'FLUSH');
  await loadFunctions(session, 'KEEP');
  const other = "#!lua name=latchkey\nredis.register_function('lk_other', function() return 1 end)";
  await command(server, 'FUNCTION', 'LOAD', 'REPLACE', other);
  await loadFunctions(session, 'KEEP');
  expect(await session.call(['FCALL', 'lk_other', '0'])).toBe(1);
  await loadFunctions(session, 'REPLACE');
  await expect(session.call(['FCALL', 'lk_other', '0'])).rejects.toThrow('FCALL was refused');
});

test('a replica that has taken in nothing is in step with a log of which nothing is lost', async () => {
  await command(server, 'FLUSHALL');
  await command(server, 'XADD', 'lk:{0}:log', '0-1', 'e', 'n UPDATED - z');
  await command(server, 'XADD', 'lk:{0}:log', '0-2', 'e', 'm UPDATED - z');
  const known = async (nonce: string) => {
    const { pulses } = await callHeartbeat(session, 'new', [{ keys: onlyShard(), place: { position: 0, nonce } }]);
    return pulses;
  };
  const end = { position: 2, nonce: 'm' };
  expect(await known('')).toEqual([{ known: true, floor: 2, end }]);
  expect(await known('n')).toEqual([{ known: false, floor: 0, end }]);
  await command(server, 'XTRIM', 'lk:{0}:log', 'MAXLEN', '1');
  expect(await known('')).toEqual([{ known: false, floor: 0, end }]);
});
