import { setTimeout as pause } from 'node:timers/promises';
import type { Chance } from './chance.ts';
import { type Fleet, toldOf } from './fleet.ts';
import type { Proxies } from './proxies.ts';
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
  'freeze-gateway',
  'kill-gateway',
  'cut-gateway',
  'hole-gateway',
  'lag-gateway',
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
  readonly gateway: number;
  /** By how much a clock jumps, milliseconds. */
  readonly skewMs: number;
};

/** Shortest and longest duration of each kind, milliseconds; those of the others are their own. */
const DURATIONS: Partial<Record<FaultKind, readonly [number, number]>> = {
  'freeze-replica': [300, 5_000],
  'freeze-redis': [300, 2_500],
  'kill-replica': [100, 1_000],
  'freeze-gateway': [300, 5_000],
  'kill-gateway': [100, 1_000],
  hole: [300, 5_000],
  'hole-gateway': [300, 5_000],
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
  options: {
    readonly kinds: readonly FaultKind[];
    readonly lengthMs: number;
    readonly replicas: number;
    readonly gateways: number;
  },
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
    const gateway = chance.below(options.gateways);
    faults.push({ kind, atMs, durationMs, replica, gateway, skewMs: chance.pick(SKEWS_MS) });
  }
  return faults;
}

/** The part that a fault upsets; faults of one part follow each other, those of others overlap. */
export function partOf({ kind, replica, gateway }: Fault): string {
  if (kind === 'burst') return 'a device';
  if (kind.endsWith('-redis') || kind === 'failover' || kind.startsWith('pause-')) return 'Redis';
  if (kind === 'kill-clients' || kind === 'kill-subscribers') return 'clients';
  if (kind === 'freeze-gateway' || kind === 'kill-gateway') return `gateway ${gateway}`;
  if (kind.endsWith('-gateway')) return `link ${gateway}`;
  const isProcess = kind === 'freeze-replica' || kind === 'kill-replica' || kind === 'clock-jump';
  return `${isProcess ? 'replica' : 'network'} ${replica}`;
}

/** Whether a fault keeps this gateway from hearing of changes, or from doing what they ask for. */
export function upsets(fault: Fault, gateway: number, replicas: number): boolean {
  const [what, which] = partOf(fault).split(' ');
  switch (what) {
    case 'gateway':
    case 'link':
      return Number(which) === gateway;
    case 'replica':
    case 'network':
      return toldOf(gateway, replicas).includes(Number(which));
    default:
      return fault.kind !== 'burst';
  }
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
  const { servers, proxies, replicas, gateways } = fleet;
  const replica = replicas[fault.replica];
  const gateway = gateways[fault.gateway];
  if (replica === undefined || gateway === undefined) throw new Error(`nothing to break: ${JSON.stringify(fault)}`);
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
    case 'freeze-gateway':
      gateway.signal('SIGSTOP');
      return () => gateway.signal('SIGCONT');
    case 'kill-gateway':
      await gateway.kill();
      return () => gateway.start();
    case 'cut-gateway':
      await fleet.links.cut(fault.gateway);
      return () => undefined;
    case 'hole-gateway':
    case 'lag-gateway':
      return through(fleet.links, fault.gateway, fault.kind);
    default:
      return through(proxies, fault.replica, fault.kind);
  }
}

const HOLE: ProxyMode = { toRedis: 'STALL', toReplica: 'STALL', concerned: 'ALL' };
const LAG: ProxyMode = { toRedis: 'LAG', toReplica: 'LAG', concerned: 'ALL' };
const MODES: Partial<Record<FaultKind, ProxyMode>> = {
  hole: HOLE,
  'hole-gateway': HOLE,
  'stall-replies': { toRedis: 'PASS', toReplica: 'STALL', concerned: 'ALL' },
  'stall-requests': { toRedis: 'STALL', toReplica: 'PASS', concerned: 'ALL' },
  'lose-replies': { toRedis: 'PASS', toReplica: 'LOSE', concerned: 'ALL' },
  'lose-requests': { toRedis: 'LOSE', toReplica: 'PASS', concerned: 'ALL' },
  'stall-reads': { toRedis: 'PASS', toReplica: 'STALL', concerned: 'READING' },
  lag: LAG,
  'lag-gateway': LAG,
};

async function through(proxies: Proxies, proxy: number, kind: FaultKind): Promise<Ends> {
  const mode = MODES[kind];
  if (mode === undefined) throw new Error(`nothing is known of the fault ${kind}`);
  await proxies.set(proxy, mode);
  return async () => {
    // What was lost leaves a hole in the stream: nobody could read on from there.
    if (mode.toRedis === 'LOSE' || mode.toReplica === 'LOSE') await proxies.cut(proxy);
    await proxies.set(proxy, PASSING);
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
