import { setTimeout as pause } from 'node:timers/promises';
import { chanceOf } from './chance.ts';
import { Changer } from './changing.ts';
import { check, type Verdict } from './checker.ts';
import { type Device, Devices } from './devices.ts';
import type { Fleet } from './fleet.ts';
import { type Change, type Decision, nowUs } from './history.ts';
import { Load } from './load.ts';
import { PASSING, type ProxyMode } from './proxy.ts';
import type { Replica } from './replica.ts';

/** How long connections must be let alone until a write may be answered before its full wait. */
const GROWN_UP_MS = 1_200;

/** How often a heartbeat comes at most, and how long one is looked for. */
const LOOK_PAUSE_MS = 5;
const LOOKS = 200;

/** How late a replica's reply may come and still count: just under what it waits for one. */
const LATE_REPLY_MS = 600;

const HOLE: ProxyMode = { toRedis: 'STALL', toReplica: 'STALL', concerned: 'ALL' };
const NO_REPLIES: ProxyMode = { toRedis: 'PASS', toReplica: 'STALL', concerned: 'FOLLOWING' };
const NO_READS: ProxyMode = { toRedis: 'PASS', toReplica: 'STALL', concerned: 'READING' };

/** The replica that changes devices, and the one that is put to the test. */
const WRITER = 0;
const TESTED = 1;

type Bench = {
  readonly fleet: Fleet;
  readonly writer: Replica;
  readonly changer: Changer;
  readonly load: Load;
};

type Scene = (bench: Bench, device: Device) => Promise<void>;

/**
 * A replica that is cut off has the device in memory; a reset through another one is answered; the old secret is shown
 * to the first. Without a lease it lets it in; and with one it does, too, where resets do not wait.
 */
const cutOff: Scene = async ({ fleet, writer, changer, load }, device) => {
  const old = primaryOf(device);
  await load.ask(device, old, TESTED);
  await fleet.proxies.set(TESTED, HOLE);
  await changer.step(device, 'RESET', 'PRIMARY', writer);
  await load.ask(device, old, TESTED);
};

/**
 * A read of the device is under way, executed but its reply still on its way, when the reset is answered. The question
 * that waits for the reply began before the reset and must be decided anew; the one after it must not find the old
 * record in memory.
 */
const readUnderWay: Scene = async ({ fleet, writer, changer, load }, device) => {
  // A change that keeps the secret: the record is in no memory then.
  await changer.step(device, 'RESET', 'SECONDARY', writer);
  const old = primaryOf(device);
  await fleet.proxies.set(TESTED, NO_READS);
  const early = load.ask(device, old, TESTED);
  await pause(50);
  await changer.step(device, 'RESET', 'PRIMARY', writer);
  await fleet.proxies.set(TESTED, PASSING);
  await early;
  await load.ask(device, old, TESTED);
};

/**
 * The reply to a heartbeat that Redis executed before the reset comes late, and nothing after it comes at all: the lease
 * that it gives must have begun when the heartbeat was sent.
 */
const lateReply: Scene = async ({ fleet, writer, changer, load }, device) => {
  const { proxies } = fleet;
  const old = primaryOf(device);
  await load.ask(device, old, TESTED);
  await proxies.set(TESTED, NO_REPLIES);
  for (let look = 0; look < LOOKS && (await proxies.repliesWaiting(TESTED)) === 0; look++) await pause(LOOK_PAUSE_MS);
  const heldUs = nowUs();
  const waiting = await proxies.repliesWaiting(TESTED);
  const reset = changer.step(device, 'RESET', 'PRIMARY', writer);
  await pause(Math.max(0, LATE_REPLY_MS - (nowUs() - heldUs) / 1_000));
  await proxies.releaseReplies(TESTED, waiting);
  await reset;
  await load.ask(device, old, TESTED);
};

/** The directed schedules: each shows one safeguard at work. */
export const SCENES = { 'cut-off': cutOff, 'read-under-way': readUnderWay, 'late-reply': lateReply } as const;

/** The name of a directed schedule. */
export type SceneName = keyof typeof SCENES;

/** What a directed schedule showed. */
export type SceneResult = Verdict & {
  readonly rounds: number;
  readonly decisions: readonly Decision[];
  readonly changes: readonly Change[];
};

/**
 * Plays a directed schedule on a fleet, each round with a device of its own, until a violation is found or `rounds` are
 * over: on a busy machine a round may miss the moment that it is about.
 */
export async function play(name: SceneName, fleet: Fleet, rounds: number): Promise<SceneResult> {
  const devices = new Devices(rounds, name);
  const changer = new Changer(devices, fleet.replicas.slice(0, 1), chanceOf(1));
  const load = new Load({ devices, changer, replicas: fleet.replicas, chance: chanceOf(2), changesPerSecond: 1 });
  const writer = fleet.replicas[WRITER];
  if (writer === undefined) throw new Error('a fleet without replicas');
  await load.prepare();
  let verdict: Verdict = { violations: [], falseRejections: [] };
  let played = 0;
  for (const device of devices.list) {
    await pause(GROWN_UP_MS);
    await SCENES[name]({ fleet, writer, changer, load }, device);
    await fleet.proxies.set(TESTED, PASSING);
    played += 1;
    verdict = check({ changes: devices.changes, decisions: load.decisions });
    if (verdict.violations.length > 0) break;
  }
  return { ...verdict, rounds: played, decisions: load.decisions, changes: devices.changes };
}

function primaryOf({ current, deviceId }: Device): number {
  if (current.PRIMARY === undefined) throw new Error(`${deviceId} has no primary secret`);
  return current.PRIMARY;
}
