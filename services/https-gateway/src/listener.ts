import { constants } from 'node:crypto';
import { createServer as createPlainServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Http2Session,
} from 'node:http2';
import type { Server, Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { type ConnectionLimits, limitConnections, listenOn, type TlsIdentity } from '@latchkey/gateway-kit';
import type { Address, Log } from '@latchkey/runtime';

/** A TLS handshake takes a slow device on a slow network a few seconds. */
const HANDSHAKE_DEADLINE_MS = 10_000;

/** A whole request of HTTP/1: headers, the decision, the body and its deadline. HTTP/2 has the body's deadline alone. */
const REQUEST_DEADLINE_MS = 60_000;

/** An idle connection is kept for the next report of a device that reports every minute. */
const IDLE_MS = 75_000;

/** How often Node looks for requests that are late. */
const LATE_CHECK_MS = 1_000;

/** What a client may offer in its handshake besides h2 (RFC 7301, 6). */
const HTTP_1_1 = 'http/1.1';
const HTTP_1_0 = 'http/1.0';

/** Bytes of all headers: a token has 84 characters, and a client adds a few hundred. */
const MAX_HEADERS_BYTES = 16_384;

/** Requests at a time over one connection of HTTP/2: a device has one or two. */
const MAX_STREAMS = 16;

/** Megabytes that a connection of HTTP/2 may hold besides bodies. */
const MAX_SESSION_MB = 2;

/** Longest time that a stop waits for answers to leave. */
const DRAIN_DEADLINE_MS = 3_000;

/** A request and the way to answer it, in HTTP/1 or HTTP/2. */
export type HttpRequest = IncomingMessage | Http2ServerRequest;
/** See HttpRequest. */
export type HttpResponse = (ServerResponse | Http2ServerResponse) & {
  readonly writeHead: (status: number, headers: Readonly<Record<string, string | number>>) => unknown;
};

/** What the listeners need. */
export type ListenerOptions = {
  readonly https: { readonly address: Address; readonly identity: TlsIdentity } | undefined;
  readonly http: Address | undefined;
  /** Who may connect. */
  readonly connections: Pick<ConnectionLimits, 'enter'>;
  /** Milliseconds within which the headers of HTTP/1 must arrive. */
  readonly headersMs: number;
  readonly serve: (request: HttpRequest, response: HttpResponse) => void;
  readonly log: Log;
};

/** Listeners that are open. */
export type Listeners = {
  readonly https: Address | undefined;
  readonly http: Address | undefined;
  /** From now on handshakes are made with this certificate. */
  readonly renew: (identity: TlsIdentity) => void;
  /**
   * Takes no more connections and waits until the requests under way are answered, at most `graceMs`; then calls `drained`,
   * which ends the others, and cuts off what is left after 3 s.
   */
  readonly stop: (graceMs: number, drained: () => Promise<void>) => Promise<void>;
};

/** Opens the listeners for HTTPS, HTTP/1 and HTTP/2 on one port, and for plain HTTP/1. Rejects with a SettingsError. */
export async function openListeners(options: ListenerOptions): Promise<Listeners> {
  const { https, http, log } = options;
  const servers: Server[] = [];
  const connections = new Set<Socket>();
  const sessions = new Set<Http2Session>();
  const stop: Listeners['stop'] = (graceMs, drained) => drain({ servers, connections, sessions, graceMs, drained });
  const listen = async (server: Server, flag: string, address: Address) => {
    servers.push(server);
    server.on('connection', (socket: Socket) => track(connections, socket));
    limitConnections(server, options.connections);
    server.on('session', (session: Http2Session) => {
      track(sessions, session);
      session.setTimeout(IDLE_MS, () => session.close());
      session.on('error', (error) => log.debug({ err: error }, 'a connection failed'));
    });
    const bound = await listenOn(server, flag, address);
    server.on('error', (error) => log.error({ err: error, flag }, 'a listener failed'));
    return bound;
  };
  try {
    const tls = https && tlsServer(https.identity, options);
    const secure = tls && (await listen(tls, '--https', https.address));
    const plain =
      http &&
      (await listen(createPlainServer({ ...HTTP1, headersTimeout: options.headersMs }, options.serve), '--http', http));
    return { https: secure, http: plain, renew: (identity) => tls?.setSecureContext(contextOf(identity)), stop };
  } catch (error) {
    await stop(0, () => Promise.resolve());
    throw error;
  }
}

const HTTP1 = {
  requestTimeout: REQUEST_DEADLINE_MS,
  keepAliveTimeout: IDLE_MS,
  connectionsCheckingInterval: LATE_CHECK_MS,
  maxHeaderSize: MAX_HEADERS_BYTES,
};

/** No resumption: each link proves its key anew, and a resumed one has lost its chain. */
function contextOf({ cert, key }: TlsIdentity) {
  return { cert, key, minVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_TICKET } as const;
}

function tlsServer(identity: TlsIdentity, { serve, headersMs, log }: ListenerOptions): Http2SecureServer {
  const server = createSecureServer(
    {
      ...{ ...HTTP1, headersTimeout: headersMs },
      ...contextOf(identity),
      allowHTTP1: true,
      ALPNCallback: ({ protocols }) => ['h2', HTTP_1_1, HTTP_1_0].find((known) => protocols.includes(known)),
      // A certificate is asked for but not judged here: devices with a secret have none, and which ones are good is the
      // auth service's decision. The handshake still proves that the device holds the key.
      ...{ requestCert: true, rejectUnauthorized: false },
      handshakeTimeout: HANDSHAKE_DEADLINE_MS,
      settings: { maxConcurrentStreams: MAX_STREAMS, maxHeaderListSize: MAX_HEADERS_BYTES, enablePush: false },
      maxSessionMemory: MAX_SESSION_MB,
    },
    serve,
  );
  // The server knows only h2 and HTTP/1.1, which is read in the same way as HTTP/1.0.
  server.prependListener('secureConnection', (socket) => {
    if (socket.alpnProtocol === HTTP_1_0) socket.alpnProtocol = HTTP_1_1;
  });
  return server.on('tlsClientError', (error: Error) => log.debug({ err: error }, 'a TLS handshake failed'));
}

type Draining = {
  readonly servers: readonly Server[];
  readonly connections: ReadonlySet<Socket>;
  readonly sessions: ReadonlySet<Http2Session>;
  readonly graceMs: number;
  readonly drained: () => Promise<void>;
};

async function drain({ servers, connections, sessions, graceMs, drained }: Draining): Promise<void> {
  const closing = servers
    .filter((server) => server.listening)
    .map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
  const closed = Promise.all(closing);
  for (const session of sessions) session.close();
  await within(graceMs, closed);
  await drained();
  await within(DRAIN_DEADLINE_MS, closed);
  for (const connection of connections) connection.destroy();
  await closed;
}

/** Waits for a promise, but no longer than so many milliseconds. */
async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  const timer = new AbortController();
  const late = wait(ms, undefined, { signal: timer.signal }).catch(() => undefined);
  await Promise.race([promise, late]);
  timer.abort();
}

function track<T extends Socket | Http2Session>(tracked: Set<T>, one: T): void {
  tracked.add(one);
  one.once('close', () => tracked.delete(one));
}
