import { setTimeout as pause } from 'node:timers/promises';
import { chanceOf } from './chance.ts';
import { Changer } from './changing.ts';
import { check } from './checker.ts';
import { Devices } from './devices.ts';
import { type Fault, type FaultKind, happen, scheduleOf } from './faults.ts';
import { type Fleet, startFleet } from './fleet.ts';
import { nowUs } from './history.ts';
import { Load } from './load.ts';
import { DEVICE_PREFIX, type Report, reportOf } from './report.ts';
import type { StoreServers } from './servers.ts';
import { Watchers } from './watching.ts';

/** How long a run is let alone before and after the faults: connections must be older than a lease for quick resets. */
const CALM_MS = 1_500;

/** What a run is. */
export type RunOptions = {
  readonly tree: string;
  readonly seconds: number;
  readonly seed: number;
  readonly kinds: readonly FaultKind[];
  readonly replicas: number;
  readonly devices: number;
  readonly changesPerSecond: number;
  readonly startServers: () => Promise<StoreServers>;
  /** Hears what happens, line by line. */
  readonly say: (line: string) => void;
};

/** Starts a fleet, puts it under load and faults, and holds what it did against the promise. */
export async function run(options: RunOptions): Promise<Report> {
  const { seed, say } = options;
  const fleet = await startFleet(options);
  try {
    const devices = new Devices(options.devices, DEVICE_PREFIX);
    const changer = new Changer(devices, fleet.replicas, chanceOf(seed + 1));
    const load = new Load({ ...options, devices, changer, replicas: fleet.replicas, chance: chanceOf(seed + 2) });
    say(`${options.replicas} replicas are up; making ${options.devices} devices`);
    await load.prepare();
    const watchers = new Watchers(fleet.replicas);
    watchers.start();
    const begunUs = nowUs();
    load.start();
    const lengthMs = options.seconds * 1_000;
    const schedule = scheduleOf(chanceOf(seed), { ...options, lengthMs: lengthMs - 2 * CALM_MS });
    const progress = setInterval(() => sayProgress(load, devices, say), 5_000);
    try {
      await pause(CALM_MS);
      await unfold(schedule, fleet, { burst: () => load.burst(), say });
      await pause(Math.max(CALM_MS, lengthMs - (nowUs() - begunUs) / 1_000));
    } finally {
      clearInterval(progress);
      await load.stop();
      watchers.stop();
    }
    const seconds = (nowUs() - begunUs) / 1_000_000;
    const history = { changes: devices.changes, decisions: load.decisions };
    say(`checking ${history.decisions.length} decisions against ${history.changes.length} changes`);
    const verdict = check(history);
    return reportOf({ history, verdict, schedule, seconds, seed, details: load.details, heard: watchers.heard });
  } finally {
    await fleet.stop();
  }
}

/** Lets the faults happen, each at its time or as soon as the one before it on the same part is over. */
async function unfold(
  schedule: readonly Fault[],
  fleet: Fleet,
  { burst, say }: { readonly burst: () => Promise<void>; readonly say: (line: string) => void },
): Promise<void> {
  const begunUs = nowUs();
  const parts = new Map<string, Promise<void>>();
  for (const fault of schedule) {
    await pause(Math.max(0, fault.atMs - (nowUs() - begunUs) / 1_000));
    const part = partOf(fault);
    const before = parts.get(part) ?? Promise.resolve();
    const now = before.then(() => {
      say(`${fault.kind} ${part} for ${fault.durationMs} ms`);
      return happen(fault, { fleet, burst });
    });
    parts.set(part, now);
    now.catch(() => undefined); // it is awaited below
  }
  await Promise.all(parts.values());
}

function partOf({ kind, replica }: Fault): string {
  if (kind === 'burst') return 'a device';
  if (kind.endsWith('-redis') || kind === 'failover' || kind.startsWith('pause-')) return 'Redis';
  if (kind === 'kill-clients' || kind === 'kill-subscribers') return 'clients';
  const isProcess = kind === 'freeze-replica' || kind === 'kill-replica' || kind === 'clock-jump';
  return `${isProcess ? 'replica' : 'network'} ${replica}`;
}

function sayProgress(load: Load, devices: Devices, say: (line: string) => void): void {
  const answered = devices.changes.filter(({ outcome }) => outcome === 'OK').length;
  say(`${load.decisions.length} decisions, ${answered} changes answered`);
}
