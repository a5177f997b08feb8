/** Where a Redis server is and how to greet it. */
export type RedisAddress = {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
};

/** How the servers behind a store are run. */
export type Deployment =
  | { readonly kind: 'STANDALONE'; readonly address: RedisAddress }
  /** The sentinels, and under what name they know the master; their addresses carry its user, password and database. */
  | { readonly kind: 'SENTINEL'; readonly sentinels: readonly RedisAddress[]; readonly masterName: string }
  /** Some nodes of the Cluster; the rest is learned from them. */
  | { readonly kind: 'CLUSTER'; readonly seeds: readonly RedisAddress[] };

/** The text is no address of a Redis server; never holds its password. */
export class RedisUrlError extends Error {
  override readonly name = 'RedisUrlError';
}

const FORM = 'redis://[user:password@]host[:port][/database] or rediss://...';
const SENTINEL_FORM = 'redis-sentinel://[user:password@]host[:port],host[:port].../master-name[/database]';
const CLUSTER_FORM = 'redis-cluster://[user:password@]host[:port],host[:port]...';
const DEFAULT_PORT = 6379;
const SENTINEL_PORT = 26_379;
/** Most addresses in one URL; each may be asked in turn, and has its own deadline. */
const MAX_ADDRESSES = 32;

function decoded(text: string): string | undefined {
  if (text === '') return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RedisUrlError('a % in the user or password of the Redis URL must be written %25');
  }
}

/** Reads the address of one server: `redis://` or, with TLS, `rediss://`. Throws a RedisUrlError. */
export function parseRedisUrl(text: string, defaultPort = DEFAULT_PORT): RedisAddress {
  if (!URL.canParse(text)) throw new RedisUrlError(`not a Redis URL: write ${FORM}`);
  const url = new URL(text);
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') {
    throw new RedisUrlError(`a Redis URL begins with redis:// or rediss://, not ${url.protocol}`);
  }
  if (url.hostname === '') throw new RedisUrlError(`the Redis URL names no host: write ${FORM}`);
  if (url.search !== '' || url.hash !== '') throw new RedisUrlError(`the Redis URL ends with more than ${FORM}`);
  if (!/^\/?\d{0,4}$/.test(url.pathname)) throw new RedisUrlError('the database in the Redis URL is a number');
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? defaultPort : Number(url.port),
    tls: url.protocol === 'rediss:',
    username: decoded(url.username),
    password: decoded(url.password),
    database: Number(url.pathname.slice(1)),
  };
}

/** Reads the URL of a store: one server, the sentinels of a master, or nodes of a Cluster. Throws a RedisUrlError. */
export function parseDeployment(text: string): Deployment {
  const many = /^(rediss?)-(sentinel|cluster):\/\/(?:([^/?#]*)@)?([^@/?#]*)(.*)$/.exec(text);
  if (many === null) return { kind: 'STANDALONE', address: parseRedisUrl(text) };
  const [, scheme = '', kind, userinfo, hosts = '', path = ''] = many;
  const addresses = (port: number, database: string) => {
    const names = hosts.split(',');
    if (names.length > MAX_ADDRESSES) throw new RedisUrlError(`the Redis URL names more than ${MAX_ADDRESSES} hosts`);
    if (names.includes('')) throw new RedisUrlError('the Redis URL names no host, or an empty one in its list');
    const login = userinfo === undefined ? '' : `${userinfo}@`;
    return names.map((host) => parseRedisUrl(`${scheme}://${login}${host}/${database}`, port));
  };
  if (kind === 'cluster') {
    // A Cluster has no database but 0.
    if (path !== '' && path !== '/') throw new RedisUrlError(`the Redis URL ends with more than ${CLUSTER_FORM}`);
    return { kind: 'CLUSTER', seeds: addresses(DEFAULT_PORT, '') };
  }
  const end = /^\/([A-Za-z0-9._-]{1,128})(?:\/(\d{0,4}))?$/.exec(path);
  if (end === null) throw new RedisUrlError(`the Redis URL does not name the master: write ${SENTINEL_FORM}`);
  const [, masterName = '', database = ''] = end;
  return { kind: 'SENTINEL', sentinels: addresses(SENTINEL_PORT, database), masterName };
}

/** The address for messages: `host:port`. */
export function addressText(address: { readonly host: string; readonly port: number }): string {
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}
