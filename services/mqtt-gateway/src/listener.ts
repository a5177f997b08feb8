import { constants } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, TLSSocket } from 'node:tls';
import { listenOn } from '@latchkey/gateway-kit';
import type { Address, Log } from '@latchkey/runtime';
import {
  type Breach,
  CONNECT_BYTE,
  MAX_CONNECT_BYTES,
  MAX_PACKET_BYTES,
  type PacketRules,
  packetWalk,
} from './packets.ts';
import { MAX_CHAIN } from './proof.ts';

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

/** The private key of the TLS listener and its certificate chain, PEM. */
export type TlsIdentity = { readonly cert: Buffer; readonly key: Buffer };

/** What takes over the connections of the listeners. */
export type Door = {
  /** Takes over a connection and reads from it. What it answers is called in place of cutting the connection. */
  readonly accept: (socket: Socket) => Reins | undefined;
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

/** What the listeners need. */
export type ListenerOptions = {
  readonly mqtt: Address;
  /** Undefined: no TLS listener. */
  readonly mqtts: { readonly address: Address; readonly identity: TlsIdentity } | undefined;
  /** Open connections of each listener; what comes over it is closed at once. */
  readonly maxConnections: number;
  readonly accept: Door['accept'];
  readonly log: Log;
};

/** Listeners that are open. */
export type Listeners = {
  readonly mqtt: Address;
  readonly mqtts: Address | undefined;
  /** Takes no more connections, ends those that are open, and cuts off what is left after 3 s. */
  readonly stop: () => Promise<void>;
};

/** Opens the listeners for plain MQTT and for MQTT over TLS. Rejects with a SettingsError. */
export async function openListeners(options: ListenerOptions): Promise<Listeners> {
  const { mqtts, log } = options;
  const links = new Map<Socket, Reins | undefined>();
  const connections = new Set<Socket>(); // those below TLS, which may still be in their handshake
  const accept = (socket: Socket) => {
    socket.on('error', (error) => log.debug({ err: error }, 'a connection failed'));
    const reins = options.accept(socket);
    links.set(socket, reins);
    socket.once('close', () => links.delete(socket));
    socket.on('data', guard(socket, reins, log)); // after the reader: it watches what is read and pulls nothing itself
  };
  const plain = createServer({ noDelay: true }, accept);
  const servers: Server[] = [plain];
  const stop = () => drain(servers, links, connections);
  const listen = async (server: Server, flag: string, address: Address) => {
    server.maxConnections = options.maxConnections;
    server.on('connection', (socket) => track(connections, socket));
    const bound = await listenOn(server, flag, address);
    server.on('error', (error) => log.error({ err: error, flag }, 'a listener failed'));
    return bound;
  };
  try {
    const mqtt = await listen(plain, '--mqtt', options.mqtt);
    if (mqtts === undefined) return { mqtt, mqtts: undefined, stop };
    const tls = tlsServer(mqtts.identity, log).on('secureConnection', accept);
    servers.push(tls);
    return { mqtt, mqtts: await listen(tls, '--mqtts', mqtts.address), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function tlsServer({ cert, key }: TlsIdentity, log: Log) {
  const server = createTlsServer({
    cert,
    key,
    noDelay: true,
    minVersion: 'TLSv1.2',
    // A certificate is asked for but not judged here: devices with a secret have none, and which ones are good is the
    // auth service's decision. The handshake still proves that the device holds the key.
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: HANDSHAKE_DEADLINE_MS,
    // No resumption: each link proves its key anew, and a resumed one has lost its chain.
    secureOptions: constants.SSL_OP_NO_TICKET,
  });
  return server.on('tlsClientError', (error) => log.debug({ err: error }, 'a TLS handshake failed'));
}

/** Ends links, so that what was written to them still goes out, and destroys the connections that do not end. */
async function drain(
  servers: readonly Server[],
  links: ReadonlyMap<Socket, Reins | undefined>,
  connections: ReadonlySet<Socket>,
): Promise<void> {
  const closed = servers
    .filter((server) => server.listening)
    .map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
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

function guard(socket: Socket, reins: Reins | undefined, log: Log): (chunk: Buffer) => void {
  const walk = packetWalk(DEVICE_RULES);
  return (chunk) => {
    const breach = walk.take(chunk);
    if (breach === undefined) return;
    log.debug({ source: sourceOf(socket), breach }, 'connection cut');
    if (reins === undefined) socket.destroy();
    else reins.breach(breach);
  };
}

/** The client certificate of a TLS connection and what was sent with it, DER, leaf first; empty: none. */
export function peerChain(connection: unknown): readonly Uint8Array[] {
  if (!(connection instanceof TLSSocket)) return [];
  const chain: Uint8Array[] = [];
  let certificate = connection.getPeerX509Certificate();
  while (certificate !== undefined && chain.length < MAX_CHAIN) {
    chain.push(certificate.raw);
    certificate = certificate.issuerCertificate;
  }
  return chain;
}

/** The other end's address without port; IPv4 in its own form, though it came over an IPv6 socket. */
export function sourceOf(connection: unknown): string {
  const address = connection !== null && typeof connection === 'object' && 'remoteAddress' in connection;
  return address ? String(connection.remoteAddress ?? '').replace(/^::ffff:(?=[0-9.]+$)/, '') : '';
}
