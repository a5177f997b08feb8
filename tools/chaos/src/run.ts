import { setTimeout as pause } from 'node:timers/promises';
import { chanceOf } from './chance.ts';
import { Changer } from './changing.ts';
import { check } from './checker.ts';
import { Clients } from './clients.ts';
import { Devices } from './devices.ts';
import { type Fault, type FaultKind, happen, partOf, scheduleOf, upsets } from './faults.ts';
import { type Fleet, startFleet } from './fleet.ts';
import { type Change, nowUs, type Session, type Trouble } from './history.ts';
import { Load } from './load.ts';
import { DEVICE_PREFIX, type Report, reportOf } from './report.ts';
import type { StoreServers } from './servers.ts';
import { endingsOf, judgeSessions, OVERTAKEN_MS, SESSION_BOUND_MS } from './session-rule.ts';
import { Watchers } from './watching.ts';

/** How long a run is let alone before and after the faults: connections must be older than a lease for quick resets. */
const CALM_MS = 1_500;

/** How often it is told how far the run is, and looked whether the links that must end have ended. */
const PROGRESS_MS = 5_000;
const LOOK_PAUSE_MS = 100;

/** What a run is. */
export type RunOptions = {
  readonly tree: string;
  readonly seconds: number;
  readonly seed: number;
  readonly kinds: readonly FaultKind[];
  readonly replicas: number;
  readonly gateways: number;
  /** MQTT clients, each with a device of its own. */
  readonly clients: number;
  readonly devices: number;
  readonly changesPerSecond: number;
  readonly startServers: () => Promise<StoreServers>;
  /** Hears what happens, line by line. */
  readonly say: (line: string) => void;
};

/** Starts a fleet, puts it under load and faults, and holds what it did against the promise. */
export async function run(options: RunOptions): Promise<Report> {
  const fleet = await startFleet(options);
  try {
    return await runOn(fleet, options);
  } finally {
    await fleet.stop();
  }
}

async function runOn(fleet: Fleet, options: RunOptions): Promise<Report> {
  const { seed, seconds, say } = options;
  const { replicas, gateways } = fleet;
  const devices = new Devices(options.devices, DEVICE_PREFIX);
  const { changes } = devices;
  const changer = new Changer(devices, replicas, chanceOf(seed + 1));
  const load = new Load({ ...options, devices, changer, replicas, chance: chanceOf(seed + 2) });
  const clients = new Clients({ ...options, devices, gateways, chance: chanceOf(seed + 3) });
  const watchers = new Watchers(replicas);
  say(`${replicas.length} replicas and ${gateways.length} gateways are up; making ${options.devices} devices`);
  await load.prepare();
  const begunUs = nowUs();
  const schedule = scheduleOf(chanceOf(seed), { ...options, lengthMs: seconds * 1_000 - 2 * CALM_MS });
  const progress = setInterval(() => sayProgress(load, clients, devices, say), PROGRESS_MS);
  try {
    watchers.start();
    load.start();
    clients.start();
    await pause(CALM_MS);
    const troubles = await unfold(schedule, fleet, { burst: () => load.burst(), say });
    await pause(Math.max(CALM_MS, seconds * 1_000 - (nowUs() - begunUs) / 1_000));
    await load.stop();
    await clients.settle();
    await mustEnd(changes, clients.sessions);
    const endUs = nowUs();
    const { sessions } = clients;
    const history = { changes, decisions: [...load.decisions, ...clients.attempts], sessions, troubles, endUs };
    say(`checking ${history.decisions.length} decisions, ${sessions.length} sessions, ${changes.length} changes`);
    const details = new Map([...load.details, ...clients.details]);
    const verdict = { ...check(history), ...judgeSessions(history) };
    const { heard } = watchers;
    return reportOf({ history, verdict, schedule, seconds: (endUs - begunUs) / 1_000_000, seed, details, heard });
  } finally {
    clearInterval(progress);
    await load.stop();
    watchers.stop();
    await clients.stop();
  }
}

/** Waits for the sessions that must end, as long as the rule lets them live. */
async function mustEnd(changes: readonly Change[], sessions: readonly Session[]): Promise<void> {
  const untilUs = nowUs() + (SESSION_BOUND_MS + OVERTAKEN_MS) * 1_000;
  const open = () => sessions.filter(({ closeUs }) => closeUs === undefined);
  while (nowUs() <= untilUs && endingsOf({ changes, sessions: open() }).length > 0) await pause(LOOK_PAUSE_MS);
}

/** Lets the faults happen, each at its time or as soon as the one before it on the same part is over. */
async function unfold(
  schedule: readonly Fault[],
  fleet: Fleet,
  { burst, say }: { readonly burst: () => Promise<void>; readonly say: (line: string) => void },
): Promise<readonly Trouble[]> {
  const begunUs = nowUs();
  const parts = new Map<string, Promise<void>>();
  const troubles: Trouble[] = [];
  for (const fault of schedule) {
    await pause(Math.max(0, fault.atMs - (nowUs() - begunUs) / 1_000));
    const part = partOf(fault);
    const before = parts.get(part) ?? Promise.resolve();
    const now = before.then(async () => {
      say(`${fault.kind} ${part} for ${fault.durationMs} ms`);
      const beginUs = nowUs();
      await happen(fault, { fleet, burst });
      for (const gateway of fleet.gateways.keys()) {
        if (upsets(fault, gateway, fleet.replicas.length)) troubles.push({ gateway, beginUs, endUs: nowUs() });
      }
    });
    parts.set(part, now);
    now.catch(() => undefined); // it is awaited below
  }
  await Promise.all(parts.values());
  return troubles;
}

function sayProgress(load: Load, { attempts }: Clients, devices: Devices, say: (line: string) => void): void {
  const answered = devices.changes.filter(({ outcome }) => outcome === 'OK').length;
  say(`${load.decisions.length} decisions, ${attempts.length} connects, ${answered} changes answered`);
}
