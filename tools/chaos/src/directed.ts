import { setTimeout as pause } from 'node:timers/promises';
import { chanceOf } from './chance.ts';
import { Changer } from './changing.ts';
import { check } from './checker.ts';
import { Clients } from './clients.ts';
import { type Device, Devices } from './devices.ts';
import type { Fleet } from './fleet.ts';
import { type Change, type Decision, nowUs } from './history.ts';
import { Load } from './load.ts';
import { PASSING, type ProxyMode } from './proxy.ts';
import type { Replica } from './replica.ts';
import { judgeSessions } from './session-rule.ts';

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
  readonly clients: Clients;
};

type Scene = (bench: Bench, device: Device) => Promise<void>;

/** How long a session may outlive its change where nothing is upset: a gateway hears of it within milliseconds. */
const CALM_BOUND_MS = 2_000;

/**
 * A replica that is cut off has the device in memory; a reset through another one is answered; the old secret is shown
 * to the first. Without a lease it lets it in; and with one it does, too, where resets do not wait.
 */
const cutOff: Scene = async ({ fleet, writer, changer, load }, device) => {
  const old = primaryOf(device);
  await load.ask(device, old, TESTED);
  await fleet.proxies.set(TESTED, HOLE);
  await changer.step(device, 'RESET', { slot: 'PRIMARY', through: writer });
  await load.ask(device, old, TESTED);
};

/**
 * A read of the device is under way, executed but its reply still on its way, when the reset is answered. The question
 * that waits for the reply began before the reset and must be decided anew; the one after it must not find the old
 * record in memory.
 */
const readUnderWay: Scene = async ({ fleet, writer, changer, load }, device) => {
  // A change that keeps the secret: the record is in no memory then.
  await changer.step(device, 'RESET', { slot: 'SECONDARY', through: writer });
  const old = primaryOf(device);
  await fleet.proxies.set(TESTED, NO_READS);
  const early = load.ask(device, old, TESTED);
  await pause(50);
  await changer.step(device, 'RESET', { slot: 'PRIMARY', through: writer });
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
  const reset = changer.step(device, 'RESET', { slot: 'PRIMARY', through: writer });
  await pause(Math.max(0, LATE_REPLY_MS - (nowUs() - heldUs) / 1_000));
  await proxies.releaseReplies(TESTED, waiting);
  await reset;
  await load.ask(device, old, TESTED);
};

/**
 * A device is connected at a gateway, and what lets it stay is taken away: its session must end.
 */
const kicked: Scene = async ({ writer, changer, clients }, device) => {
  for (const [act, details] of ENDS) {
    const link = await clients.connect(device, primaryOf(device), 0);
    if (link === undefined) throw new Error(`${device.deviceId} was not let in`);
    await changer.step(device, act, { ...details, through: writer });
    await Promise.race([link.closed, pause(CALM_BOUND_MS + PAST_BOUND_MS)]);
    const isOver = link.session.closeUs !== undefined;
    await link.end();
    if (!isOver) return;
    if (act === 'FREEZE') await changer.step(device, 'UNFREEZE', { through: writer });
    if (act === 'RETIRE') await changer.step(device, 'RESET', { slot: 'PRIMARY', through: writer });
  }
};

/** Every change that ends sessions; the deletion last. */
const ENDS = [
  ['FREEZE', {}],
  ['RESET', { slot: 'SECONDARY', forced: true }],
  ['RETIRE', { slot: 'PRIMARY' }],
  ['DELETE', {}],
] as const;

/** How much longer than the bound it is waited, so that what is stale is seen to be. */
const PAST_BOUND_MS = 200;

/** The directed schedules: each shows one safeguard at work. */
export const SCENES = {
  'cut-off': cutOff,
  'read-under-way': readUnderWay,
  'late-reply': lateReply,
  kicked,
} as const;

/** The name of a directed schedule. */
export type SceneName = keyof typeof SCENES;

/** What a directed schedule showed. */
export type SceneResult = {
  readonly rounds: number;
  /** The rules that were broken, once for each time. */
  readonly broken: readonly string[];
  readonly falseRejections: readonly Decision[];
  readonly decisions: readonly Decision[];
};

/**
 * Plays a directed schedule on a fleet, each round with a device of its own, until a violation is found or `rounds` are
 * over: on a busy machine a round may miss the moment that it is about.
 */
export async function play(name: SceneName, fleet: Fleet, rounds: number): Promise<SceneResult> {
  const devices = new Devices(rounds, name);
  const changer = new Changer(devices, fleet.replicas.slice(0, 1), chanceOf(1));
  const load = new Load({ devices, changer, replicas: fleet.replicas, chance: chanceOf(2), changesPerSecond: 1 });
  const clients = new Clients({ devices, gateways: fleet.gateways, chance: chanceOf(3), clients: 0 });
  const writer = fleet.replicas[WRITER];
  if (writer === undefined) throw new Error('a fleet without replicas');
  await load.prepare();
  let played = 0;
  let result: Pick<SceneResult, 'broken' | 'falseRejections'> = { broken: [], falseRejections: [] };
  for (const device of devices.list) {
    await pause(GROWN_UP_MS);
    await SCENES[name]({ fleet, writer, changer, load, clients }, device);
    await fleet.proxies.set(TESTED, PASSING);
    played += 1;
    result = judge(devices.changes, load, clients);
    if (result.broken.length > 0) break;
  }
  return { ...result, rounds: played, decisions: [...load.decisions, ...clients.attempts] };
}

function judge(changes: readonly Change[], load: Load, { attempts, sessions }: Clients) {
  const decisions = [...load.decisions, ...attempts];
  const { violations, falseRejections } = check({ changes, decisions });
  const { stale } = judgeSessions({ changes, sessions, troubles: [], endUs: nowUs() }, CALM_BOUND_MS);
  return { broken: [...violations.map(({ rule }) => rule), ...stale.map(() => 'STALE_SESSION')], falseRejections };
}

function primaryOf({ current, deviceId }: Device): number {
  if (current.PRIMARY === undefined) throw new Error(`${deviceId} has no primary secret`);
  return current.PRIMARY;
}
