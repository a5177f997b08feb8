import { StoreUnavailable } from '@latchkey/store';
import type { Log } from './link.ts';
import type { Caller } from './session.ts';

/** min-replicas-max-lag when it cannot be read: Redis' own default, seconds. */
const DEFAULT_MAX_LAG_S = 10;

/** Redis counts the lag in whole seconds and looks at it every second: so much later at most it refuses writes. */
const LAG_MARGIN_S = 2;

/** Longest min-replicas-max-lag without a warning, seconds: after a takeover resets take this and 3 s. */
const MAX_LAG_S = 5;

/** What is asked of a server. */
export type Expectation = {
  /** It is to be a node of a Cluster. */
  readonly cluster: boolean;
  /** Another server may take its place. */
  readonly takeovers: boolean;
  /** Replicas that are to take each write; undefined: all that could take over. */
  readonly replicas: number | undefined;
};

/** Settings that INFO does not tell; undefined where the server keeps them to itself. */
export type Settings = { readonly appendfsync: string | undefined; readonly maxLagS: number | undefined };

/** What a server says of itself. */
export type Server = {
  /** Drawn by the server at its start: the same one on two connections means one and the same process. */
  readonly runId: string;
  /** How long after it was cut off from its replicas it, or one it replaced, goes on to take writes, ms. */
  readonly fenceMs: number;
  /** Replicas that follow it. */
  readonly attached: number;
  /** What of its settings puts acknowledged writes at risk, or holds up resets. */
  readonly warnings: readonly string[];
};

type Fields = ReadonlyMap<string, string>;

function fieldsOf(info: string): Fields {
  const lines = info.split('\r\n').filter((line) => line.includes(':'));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
}

/** What forbids to use a server, from its reply to INFO; undefined: nothing. */
export function refusalOf(info: string, cluster = false): string | undefined {
  const fields = fieldsOf(info);
  const version = fields.get('redis_version') ?? 'unknown';
  if (!(Number.parseInt(version, 10) >= 7)) return `its version is ${version}: Redis 7.0 or newer is needed`;
  if (fields.get('role') === 'slave') return 'it is a replica: give the address of the primary';
  const isNode = fields.get('cluster_enabled') === '1';
  if (isNode && !cluster) return 'it is a node of a Redis Cluster: give a redis-cluster:// URL';
  if (!isNode && cluster) return 'it is not a node of a Redis Cluster: give a redis:// URL';
  return undefined;
}

/** What of a server's reply to INFO and of its settings puts writes at risk that it acknowledged, or holds up resets. */
export function settingsWarnings(info: string, settings: Settings, expectation: Expectation): readonly string[] {
  const fields = fieldsOf(info);
  const warnings = [...durabilityWarnings(fields, settings), ...takeoverWarnings(fields, settings, expectation)];
  return warnings.filter((warning) => warning !== undefined);
}

function durabilityWarnings(fields: Fields, { appendfsync }: Settings): readonly (string | undefined)[] {
  const policy = fields.get('maxmemory_policy');
  const append = fields.get('aof_enabled') !== '0';
  return [
    append ? undefined : 'appendonly is off: a restart of Redis brings old secrets back',
    append && appendfsync === 'everysec'
      ? 'appendfsync is everysec: a power cut takes back up to two seconds of writes, resets among them; set always'
      : undefined,
    append && appendfsync === 'no'
      ? 'appendfsync is no: a power cut takes back up to half a minute of writes, resets among them; set always'
      : undefined,
    policy === undefined || policy === 'noeviction'
      ? undefined
      : `maxmemory-policy is ${policy}: Redis may drop devices, set noeviction`,
  ];
}

function takeoverWarnings(
  fields: Fields,
  { maxLagS = 0 }: Settings,
  { takeovers, replicas }: Expectation,
): readonly (string | undefined)[] {
  if (!takeovers && replicas === 0) return [];
  const attached = attachedTo(fields);
  return [
    isFenced(fields)
      ? undefined
      : 'min-replicas-to-write is 0: a primary that is cut off goes on to serve, after a failover with old secrets; set 1',
    isFenced(fields) && maxLagS > MAX_LAG_S
      ? `min-replicas-max-lag is ${maxLagS}: after a takeover resets take ${maxLagS + LAG_MARGIN_S + 1} s; set 2`
      : undefined,
    replicas !== undefined && (replicas === 0 || replicas < attached)
      ? `--redis-replicas is ${replicas}, and there are ${attached}: a failover may bring old secrets back; leave it out`
      : undefined,
  ];
}

function attachedTo(fields: Fields): number {
  return Number(fields.get('connected_slaves') ?? 0);
}

/** INFO counts the good replicas only where min-replicas-to-write and min-replicas-max-lag are set. */
function isFenced(fields: Fields): boolean {
  return fields.has('min_slaves_good_slaves');
}

/** A setting, unless the server keeps it to itself, as hosted ones do. */
async function settingOf(caller: Caller, name: string): Promise<string | undefined> {
  try {
    const reply = await caller.call(['CONFIG', 'GET', name]);
    const value = Object.entries(reply ?? {}).find(([key]) => key === name)?.[1];
    return value === undefined ? undefined : String(value);
  } catch (error) {
    if (error instanceof StoreUnavailable && error.message.includes('CONFIG was refused')) return undefined;
    throw error;
  }
}

/** Looks at the server behind a new connection. Rejects with a StoreUnavailable when it cannot serve. */
export async function greet(caller: Caller, expectation: Expectation): Promise<Server> {
  const info = String(await caller.call(['INFO']));
  const refusal = refusalOf(info, expectation.cluster);
  if (refusal !== undefined) throw new StoreUnavailable(`this Redis cannot be used: ${refusal}`);
  const fields = fieldsOf(info);
  const appendfsync = await settingOf(caller, 'appendfsync');
  const maxLag = await settingOf(caller, 'min-replicas-max-lag');
  const maxLagS = maxLag === undefined ? undefined : Number(maxLag);
  const fenceS = (maxLagS ?? DEFAULT_MAX_LAG_S) + LAG_MARGIN_S;
  return {
    runId: fields.get('run_id') ?? '',
    fenceMs: isFenced(fields) && expectation.replicas !== 0 ? fenceS * 1_000 : 0,
    attached: attachedTo(fields),
    warnings: settingsWarnings(info, { appendfsync, maxLagS }, expectation),
  };
}

/** Tells what a server says against itself. */
export function warn(where: string, { warnings }: Server, log: Log): void {
  for (const warning of warnings) log('Redis is not set up well', { where, warning });
}

/** The process behind a connection. */
export async function runIdOf(caller: Caller): Promise<string> {
  return fieldsOf(String(await caller.call(['INFO', 'server']))).get('run_id') ?? '';
}
