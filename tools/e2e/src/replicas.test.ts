import { freePort } from '@latchkey/kernel/testing';
import { startProxy } from '@latchkey/store-redis/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { login } from './digest.ts';
import { dial, dialIn, dialOnce, type Link } from './link.ts';
import { freeze, register, unfreeze } from './operator.ts';
import { newPlace, type Place } from './place.ts';
import type { Program } from './program.ts';
import { type System, startAuth, startGateway, systemOf } from './system.ts';

// Each step starts a process, slowly so on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const SECRET = 'first-secret';
const UNTIL = { timeout: 60_000, interval: 100 };

/** The device with the wrong secret is to be decided on each time. */
const UNTHROTTLED = ['--failed-attempts', '0'];

type Replica = { readonly port: number; readonly place: Place; program: Program };

let place: Place;
let relay: Awaited<ReturnType<typeof startProxy>>;
let replicas: Replica[];
let gateway: Program;
let kept: Link;

/** Answers to devices that come and go all the time, with a right and with a wrong secret. */
const answers = { right: [] as number[], wrong: [] as number[] };
let over = false;
const traffic: Promise<void>[] = [];

beforeAll(async () => {
  place = await newPlace('redis');
  relay = await startProxy(Number(new URL(place.storeArgs[1] ?? '').port));
  replicas = [];
  for (let number = 0; number < 3; number++) {
    const port = await freePort();
    const own = number === 0 ? { ...place, storeArgs: ['--store', relay.url] } : place;
    replicas.push({ port, place: own, program: await startAuth(own, port, ...UNTHROTTLED) });
  }
  gateway = await startGateway(...replicas.map(({ port }) => port));
  for (const id of ['kept', 'right', 'wrong', 'frozen']) await register(by(1), id, SECRET);
  await vi.waitFor(async () => expect(await dial(by(1).mqtt, login('wrong', 'not-it'))).toBe(4), UNTIL);
  kept = await dialIn(by(1).mqtt, login('kept', SECRET));
  traffic.push(comeAndGo('right', SECRET, answers.right), comeAndGo('wrong', 'not-it', answers.wrong));
});

afterAll(async () => {
  over = true;
  await Promise.all(traffic);
  for (const { program } of [...replicas, { program: gateway }]) await program.end('SIGKILL');
  await relay.stop();
  await place.remove();
});

/** The system as an operator of one replica sees it. */
function by(number: number): System {
  const replica = replicas[number];
  if (replica === undefined) throw new Error('there is no such replica');
  return systemOf(place, replica.program, gateway);
}

async function comeAndGo(deviceId: string, secret: string, into: number[]): Promise<void> {
  while (!over) {
    const answer = await dialOnce(by(1).mqtt, login(deviceId, secret));
    into.push(typeof answer === 'number' ? answer : 0);
    if (typeof answer !== 'number') await answer.close();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Waits until devices that came from now on were decided on; what they were told must be true, or "come again". */
async function decided(): Promise<void> {
  const [right, wrong] = [answers.right.length, answers.wrong.length];
  await vi.waitFor(() => {
    expect(answers.right.slice(right + 1).filter((code) => code === 0).length).toBeGreaterThan(5);
    expect(answers.wrong.slice(wrong + 1).filter((code) => code === 4).length).toBeGreaterThan(5);
  }, UNTIL);
  expect(new Set(answers.right).difference(new Set([0, 3]))).toEqual(new Set());
  expect(new Set(answers.wrong).difference(new Set([4, 3]))).toEqual(new Set());
  await kept.publish();
  expect(kept.isOpen()).toBe(true);
}

/** A change that is made at this replica ends the link of its device: the gateway follows the changes somewhere. */
async function changesAreHeard(at: number): Promise<void> {
  const link = await vi.waitFor(() => dialIn(by(at).mqtt, login('frozen', SECRET)), UNTIL);
  await freeze(by(at), 'frozen');
  await link.closed();
  await vi.waitFor(async () => expect(await dial(by(at).mqtt, login('frozen', SECRET))).toBe(5), UNTIL);
  await unfreeze(by(at), 'frozen');
}

async function restart(number: number): Promise<void> {
  const replica = replicas[number];
  if (replica !== undefined) replica.program = await startAuth(replica.place, replica.port, ...UNTHROTTLED);
}

test.for([0, 1, 2])('replica %i is stopped, and goes on later', async (number) => {
  const pid = replicas[number]?.program.pid ?? 0;
  process.kill(pid, 'SIGSTOP');
  try {
    await decided();
    await changesAreHeard((number + 1) % 3);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await changesAreHeard(number);
  await decided();
});

test.for([
  [0, 'SIGKILL', null],
  [1, 'SIGTERM', 0],
  [2, 'SIGKILL', null],
] as const)('replica %i ends by %s, and is started again', async ([number, signal, code]) => {
  expect(await replicas[number]?.program.end(signal)).toBe(code);
  await decided();
  await changesAreHeard((number + 1) % 3);
  await restart(number);
  await changesAreHeard(number);
  await decided();
});

test('a replica without a lease is passed over', async () => {
  relay.hang(true);
  await decided();
  await changesAreHeard(2);
  relay.hang(false);
  await decided();
});

test('without any replica devices are told to come again, and links stay; with one they get in', async () => {
  await Promise.all(replicas.map(({ program }) => program.end('SIGKILL')));
  const before = answers.right.length;
  await vi.waitFor(() => expect(answers.right.length).toBeGreaterThan(before + 10), UNTIL);
  expect(answers.right.slice(before + 2).filter((code) => code !== 3)).toEqual([]);
  await kept.publish();
  await restart(1);
  await decided();
  await changesAreHeard(1);
  expect(kept.isOpen()).toBe(true);
});
