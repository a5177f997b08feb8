import { constants } from 'node:crypto';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer, type TlsOptions, Server as TlsServer } from 'node:tls';
import { type ConnectionLimits, limitConnections, listenOn, sourceOf, type TlsIdentity } from '@latchkey/gateway-kit';
import type { Address, Log } from '@latchkey/runtime';
import {
  type Breach,
  CONNECT_BYTE,
  MAX_CONNECT_BYTES,
  MAX_PACKET_BYTES,
  type PacketRules,
  packetWalk,
} from './packets.ts';
import { HTTP_LIMITS, takeWebSockets } from './web-socket.ts';

/** A TLS handshake takes a slow device on a slow network a few seconds. */
const HANDSHAKE_DEADLINE_MS = 10_000;

/** Longest time that a stop waits for links to take what was sent to them and to close. */
const DRAIN_DEADLINE_MS = 3_000;

/**
 * What a device may send: the parser behind it collects a packet before it looks at it, and has no bound of its own.
 */
const DEVICE_RULES: PacketRules = {
  firstByte: CONNECT_BYTE,
  maxFirstBytes: MAX_CONNECT_BYTES,
  maxOtherBytes: MAX_PACKET_BYTES,
};

/** What takes over the connections of a listener. */
export type Door = {
  /**
   * Takes over a connection and reads from it. `socket` carries the stream and has source and certificate; without
   * WebSocket they are one. What it answers is called in place of cutting the connection.
   */
  readonly accept: (stream: Duplex, socket: Socket) => Reins | undefined;
  /** Lets go of what it holds; its connections are closed by then. */
  readonly close: () => Promise<void>;
};

/** How the listener has a connection ended by whoever speaks on it. */
export type Reins = {
  /** What came cannot be read on. */
  readonly breach: (breach: Breach) => void;
  /** The gateway stops. */
  readonly dismiss: () => void;
};

/** A listener to open. */
export type ListenerPlan = {
  /** The option that asks for it, for messages. */
  readonly flag: string;
  readonly address: Address;
  readonly tls: boolean;
  readonly webSocket: boolean;
  /** Who may connect. */
  readonly connections: Pick<ConnectionLimits, 'enter'>;
  readonly accept: Door['accept'];
};

/** Listeners that are open. */
export type Listeners = {
  /** Where they listen, in the order of their plans. */
  readonly addresses: readonly Address[];
  /** Connections from now on get this certificate; those that are open keep theirs. */
  readonly renew: (identity: TlsIdentity) => void;
  /** Takes no more connections, waits for `drained`, ends those that are still open, and cuts off what is left after 3 s. */
  readonly stop: (drained: () => Promise<void>) => Promise<void>;
};

type Accept = (stream: Duplex, socket: Socket) => void;
type Links = Map<Duplex, Reins | undefined>;

/** Opens listeners. `identity` may be undefined when none has TLS. Rejects with a SettingsError. */
export async function openListeners(
  plans: readonly ListenerPlan[],
  { identity, log }: { readonly identity: TlsIdentity | undefined; readonly log: Log },
): Promise<Listeners> {
  const links: Links = new Map();
  const connections = new Set<Socket>(); // those below TLS and WebSocket, which may still be in their handshake
  const servers: Server[] = [];
  const addresses: Address[] = [];
  const stop: Listeners['stop'] = (drained) => drain({ servers, links, connections, drained });
  try {
    for (const plan of plans) {
      const server = serverOf(plan, identity, handOver(links, plan, log));
      server.on('connection', (socket: Socket) => track(connections, socket));
      limitConnections(server, plan.connections);
      server.on('tlsClientError', (error) => log.debug({ err: error }, 'a TLS handshake failed'));
      addresses.push(await listenOn(server, plan.flag, plan.address));
      servers.push(server);
      server.on('error', (error) => log.error({ err: error, flag: plan.flag }, 'a listener failed'));
    }
  } catch (error) {
    await stop(() => Promise.resolve());
    throw error;
  }
  const renew = (renewed: TlsIdentity) => {
    for (const server of servers) if (server instanceof TlsServer) server.setSecureContext(tlsOptions(renewed));
  };
  return { addresses, renew, stop };
}

function serverOf({ tls, webSocket }: ListenerPlan, identity: TlsIdentity | undefined, accept: Accept): Server {
  const options = identity === undefined ? {} : tlsOptions(identity);
  const direct = (socket: Socket) => accept(socket, socket);
  if (!webSocket && !tls) return createServer({ noDelay: true }, direct);
  if (!webSocket) return createTlsServer({ ...options, noDelay: true }).on('secureConnection', direct);
  const http = tls ? createHttpsServer({ ...options, ...HTTP_LIMITS }) : createHttpServer(HTTP_LIMITS);
  takeWebSockets(http, accept);
  return http;
}

function tlsOptions({ cert, key }: TlsIdentity): TlsOptions {
  return {
    cert,
    key,
    minVersion: 'TLSv1.2',
    // A certificate is asked for but not judged here: devices with a secret have none, and which ones are good is the
    // auth service's decision. The handshake still proves that the device holds the key.
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: HANDSHAKE_DEADLINE_MS,
    // No resumption: each link proves its key anew, and a resumed one has lost its chain.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** Hands a connection over and watches it. */
function handOver(links: Links, { accept }: ListenerPlan, log: Log): Accept {
  return (stream, socket) => {
    stream.on('error', (error) => log.debug({ err: error }, 'a connection failed'));
    const reins = accept(stream, socket);
    links.set(stream, reins);
    socket.once('close', () => links.delete(stream));
    // After the reader: it watches what is read and pulls nothing itself.
    stream.on('data', guard({ stream, source: sourceOf(socket), reins, log }));
  };
}

type Draining = {
  readonly servers: readonly Server[];
  readonly links: Links;
  readonly connections: ReadonlySet<Socket>;
  readonly drained: () => Promise<void>;
};

/** Ends links, so that what was written to them still goes out, and destroys the connections that do not end. */
async function drain({ servers, links, connections, drained }: Draining): Promise<void> {
  const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
  await drained();
  for (const [link, reins] of links) reins === undefined ? link.end() : reins.dismiss();
  const cut = setTimeout(() => {
    for (const connection of connections) connection.destroy();
  }, DRAIN_DEADLINE_MS);
  await Promise.all(closed);
  clearTimeout(cut);
}

function track(sockets: Set<Socket>, socket: Socket): void {
  sockets.add(socket);
  socket.once('close', () => sockets.delete(socket));
}

function guard(options: {
  readonly stream: Duplex;
  readonly source: string;
  readonly reins: Reins | undefined;
  readonly log: Log;
}): (chunk: Buffer) => void {
  const { stream, source, reins, log } = options;
  const walk = packetWalk(DEVICE_RULES);
  return (chunk) => {
    const breach = walk.take(chunk);
    if (breach === undefined) return;
    log.debug({ source, breach }, 'connection cut');
    if (reins === undefined) stream.destroy();
    else reins.breach(breach);
  };
}
