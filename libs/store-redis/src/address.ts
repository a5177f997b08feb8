/** Where a Redis server is and how to greet it. */
export type RedisAddress = {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
};

/** The text is no address of a Redis server; never holds its password. */
export class RedisUrlError extends Error {
  override readonly name = 'RedisUrlError';
}

const FORM = 'redis://[user:password@]host[:port][/database] or rediss://...';
const DEFAULT_PORT = 6379;

function decoded(text: string): string | undefined {
  if (text === '') return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RedisUrlError('a % in the user or password of the Redis URL must be written %25');
  }
}

/** Reads a URL `redis://` or, with TLS, `rediss://`. Throws a RedisUrlError. */
export function parseRedisUrl(text: string): RedisAddress {
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
    port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    tls: url.protocol === 'rediss:',
    username: decoded(url.username),
    password: decoded(url.password),
    database: Number(url.pathname.slice(1)),
  };
}

/** The address for messages: `host:port`. */
export function addressText(address: RedisAddress): string {
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}
