import { setTimeout as pause } from 'node:timers/promises';
import type { Chance } from './chance.ts';
import type { Fleet } from './fleet.ts';
import { PASSING, type ProxyMode } from './proxy.ts';

/** What may go wrong, in the order of the help text. */
export const FAULT_KINDS = [
  'freeze-replica',
  'kill-replica',
  'freeze-redis',
  'kill-redis',
  'restart-redis',
  'cut',
  'hole',
  'stall-replies',
  'stall-requests',
  'lose-replies',
  'lose-requests',
  'stall-reads',
  'lag',
  'pause-all',
  'pause-writes',
  'kill-clients',
  'kill-subscribers',
  'clock-jump',
  'burst',
  'failover',
] as const;

/** What may go wrong. */
export type FaultKind = (typeof FAULT_KINDS)[number];

/** One fault of a schedule. */
export type Fault = {
  readonly kind: FaultKind;
  /** Milliseconds from the start of the run. */
  readonly atMs: number;
  readonly durationMs: number;
  readonly replica: number;
  /** By how much a clock jumps, milliseconds. */
  readonly skewMs: number;
};

/** Shortest and longest duration of each kind, milliseconds; those of the others are their own. */
const DURATIONS: Partial<Record<FaultKind, readonly [number, number]>> = {
  'freeze-replica': [300, 5_000],
  'freeze-redis': [300, 2_500],
  'kill-replica': [100, 1_000],
  hole: [300, 5_000],
  'pause-all': [300, 2_500],
  'pause-writes': [300, 2_500],
};
const OTHER_DURATION = [300, 3_000] as const;

/** Pause from the beginning of one fault to that of the next: most overlap, some leave time to recover. */
const SHORTEST_GAP_MS = 400;
const LONGEST_GAP_MS = 1_600;

/** Jumps of a wall clock: within what a lease spans, beyond it, and beyond what a replica may be off from Redis. */
const SKEWS_MS = [-120_000, -5_000, -700, -50, 50, 700, 5_000, 120_000] as const;

/** The faults of a run of this length; the chance alone determines them. */
export function scheduleOf(
  chance: Chance,
  options: { readonly kinds: readonly FaultKind[]; readonly lengthMs: number; readonly replicas: number },
): readonly Fault[] {
  const faults: Fault[] = [];
  if (options.kinds.length === 0) return faults;
  let round: FaultKind[] = [];
  for (let atMs = SHORTEST_GAP_MS; atMs < options.lengthMs; atMs += chance.between(SHORTEST_GAP_MS, LONGEST_GAP_MS)) {
    // Each kind once before any comes again: a short run, too, sees them all.
    if (round.length === 0) round = [...options.kinds];
    const [kind = 'cut'] = round.splice(chance.below(round.length), 1);
    const [shortest, longest] = DURATIONS[kind] ?? OTHER_DURATION;
    const durationMs = chance.between(shortest, longest);
    const replica = chance.below(options.replicas);
    faults.push({ kind, atMs, durationMs, replica, skewMs: chance.pick(SKEWS_MS) });
  }
  return faults;
}

/** What a fault does beyond the fleet. */
export type FaultOptions = { readonly fleet: Fleet; readonly burst: () => Promise<void> };

type Ends = () => void | Promise<void>;

/** Lets one fault happen; resolves when it is over. */
export async function happen(fault: Fault, options: FaultOptions): Promise<void> {
  const end = await begin(fault, options);
  await pause(fault.durationMs);
  await end();
}

async function begin(fault: Fault, { fleet, burst }: FaultOptions): Promise<Ends> {
  const { servers, proxies, replicas } = fleet;
  const replica = replicas[fault.replica];
  if (replica === undefined) throw new Error(`no replica ${fault.replica}`);
  switch (fault.kind) {
    case 'freeze-replica':
      replica.signal('SIGSTOP');
      return () => replica.signal('SIGCONT');
    case 'kill-replica':
      await replica.kill();
      return () => replica.start();
    case 'freeze-redis':
      return servers.freeze();
    case 'kill-redis':
      return restarted(fleet, 'SIGKILL');
    case 'restart-redis':
      return restarted(fleet, 'SIGTERM');
    case 'failover':
      await servers.failover?.();
      return () => undefined;
    case 'cut':
      await proxies.cut(fault.replica);
      return () => undefined;
    case 'pause-all':
      return paused(fleet, `CLIENT PAUSE ${fault.durationMs} ALL`);
    case 'pause-writes':
      return paused(fleet, `CLIENT PAUSE ${fault.durationMs} WRITE`);
    case 'kill-clients':
      return paused(fleet, 'CLIENT KILL TYPE normal SKIPME yes');
    case 'kill-subscribers':
      return paused(fleet, 'CLIENT KILL TYPE pubsub SKIPME yes');
    case 'clock-jump':
      replica.skew(fault.skewMs);
      return () => replica.skew(0);
    case 'burst':
      await burst();
      return () => undefined;
    default:
      return through(fleet, fault);
  }
}

const MODES: Partial<Record<FaultKind, ProxyMode>> = {
  hole: { toRedis: 'STALL', toReplica: 'STALL', concerned: 'ALL' },
  'stall-replies': { toRedis: 'PASS', toReplica: 'STALL', concerned: 'ALL' },
  'stall-requests': { toRedis: 'STALL', toReplica: 'PASS', concerned: 'ALL' },
  'lose-replies': { toRedis: 'PASS', toReplica: 'LOSE', concerned: 'ALL' },
  'lose-requests': { toRedis: 'LOSE', toReplica: 'PASS', concerned: 'ALL' },
  'stall-reads': { toRedis: 'PASS', toReplica: 'STALL', concerned: 'READING' },
  lag: { toRedis: 'LAG', toReplica: 'LAG', concerned: 'ALL' },
};

async function through({ proxies }: Fleet, { kind, replica }: Fault): Promise<Ends> {
  const mode = MODES[kind];
  if (mode === undefined) throw new Error(`nothing is known of the fault ${kind}`);
  await proxies.set(replica, mode);
  return async () => {
    // What was lost leaves a hole in the stream: nobody could read on from there.
    if (mode.toRedis === 'LOSE' || mode.toReplica === 'LOSE') await proxies.cut(replica);
    await proxies.set(replica, PASSING);
  };
}

async function restarted({ servers }: Fleet, signal: 'SIGKILL' | 'SIGTERM'): Promise<Ends> {
  await servers.restart(signal);
  return () => undefined;
}

async function paused({ servers }: Fleet, command: string): Promise<Ends> {
  await servers.command(command);
  return () => undefined;
}
