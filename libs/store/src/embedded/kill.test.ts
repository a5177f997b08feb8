import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type DeviceId, systemClock, systemRandom } from '@latchkey/kernel';
import { expect, test } from 'vitest';
import { id, shown } from '../contract/fixtures.ts';
import { generateKeyLine, parseKeyring } from '../keyring.ts';
import type { Change, LogPlace, Store } from '../store.ts';
import { openEmbeddedStore } from './embedded.ts';
import { DEVICES, secretOf } from './kill-writer.ts';

const ROUNDS = 15;
const LONGEST_LIFE_MS = 300;
// About 13 s on a quiet machine of two cores; the rest is for a busy one.
const TIMEOUT_MS = 180_000;
const WRITER = fileURLToPath(new URL('./kill-writer.ts', import.meta.url));

type Acknowledged = { readonly deviceId: DeviceId; readonly n: number; readonly revision: number };

/** Lets a writer live for a random time after its first answer, kills it, and answers the writes it saw acknowledged. */
async function killedWriter(directory: string, keys: string): Promise<readonly Acknowledged[]> {
  // A file, not a pipe: writing to it never fails for want of a reader, and survives the kill.
  const path = join(directory, '..', 'acknowledged');
  const file = openSync(path, 'w');
  const child = spawn(process.execPath, [WRITER, directory, keys], { stdio: ['ignore', file, 'inherit'] });
  closeSync(file);
  const closed = once(child, 'close');
  await expect.poll(() => statSync(path).size, { timeout: 20_000, interval: 5 }).toBeGreaterThan(0);
  await pause(Math.random() * LONGEST_LIFE_MS);
  child.kill('SIGKILL');
  expect(await closed).toEqual([null, 'SIGKILL']);
  const output = readFileSync(path, 'utf8');
  const lines = output.slice(0, output.lastIndexOf('\n')).split('\n');
  return lines.map((line) => {
    const [deviceId = '', n, revision] = line.split(' ');
    return { deviceId: id(deviceId), n: Number(n), revision: Number(revision) };
  });
}

async function wholeLog(store: Store): Promise<readonly Change[]> {
  const log: Change[] = [];
  let place: LogPlace = { position: 0, nonce: '' };
  for (;;) {
    const { entries = [] } = await store.log(0, place, 1_000);
    const last = entries.at(-1);
    if (last === undefined) return log;
    log.push(...entries);
    place = last;
  }
}

type Known = Map<DeviceId, { readonly n: number; readonly revision: number }>;

/** Every record is whole, and is the newest known state or the one after it, whose answer the kill cut off. */
async function checkRecords(store: Store, known: Known): Promise<void> {
  for (const [deviceId, { n, revision }] of known) {
    const record = await store.read(deviceId);
    const found = { n: record?.createdAtMs ?? 0, revision: record?.revision ?? 0 };
    expect([n, n + 1]).toContain(found.n);
    expect(found.revision === revision).toBe(found.n === n);
    expect(shown(record)).toMatchObject({ credentials: { primary: { secret: secretOf(deviceId, found.n) } } });
    known.set(deviceId, found);
  }
}

async function checkLog(store: Store, acknowledged: readonly Acknowledged[]): Promise<void> {
  const log = await wholeLog(store);
  expect(log.map(({ position }) => position)).toEqual(log.map((_, index) => index + 1));
  expect(acknowledged.filter(({ deviceId, revision }) => log[revision - 1]?.key !== deviceId)).toEqual([]);
  const { records } = await store.list({ after: undefined, prefix: '', limit: 1_000 });
  const newest = new Map(log.map(({ key, position }) => [key, position]));
  expect(new Map(records.map(({ deviceId, revision }) => [deviceId, revision]))).toEqual(newest);
}

test(
  `${ROUNDS} kills at random moments lose no acknowledged write and tear no record`,
  async () => {
    const parent = mkdtempSync(join(tmpdir(), 'latchkey-kill-'));
    const directory = join(parent, 'data');
    const keys = generateKeyLine('k1', systemRandom);
    const acknowledged: Acknowledged[] = [];
    const known: Known = new Map();
    for (let round = 0; round < ROUNDS; round += 1) {
      const seen = await killedWriter(directory, keys);
      acknowledged.push(...seen);
      for (const { deviceId, n, revision } of seen) known.set(deviceId, { n, revision });
      const options = { directory, keyring: parseKeyring(keys), clock: systemClock, random: systemRandom };
      const store = await openEmbeddedStore(options);
      await checkRecords(store, known);
      await checkLog(store, acknowledged);
      await store.close();
    }
    expect(new Set(acknowledged.map(({ deviceId }) => deviceId)).size).toBe(DEVICES.length);
    expect(acknowledged.length).toBeGreaterThan(ROUNDS * DEVICES.length);
    rmSync(parent, { recursive: true });
  },
  TIMEOUT_MS,
);
