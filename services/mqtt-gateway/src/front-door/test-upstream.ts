import { once } from 'node:events';
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { generate, type IConnectPacket, type Packet, parser } from 'mqtt-packet';
import { login } from '../test-bench.ts';

/** A socket, and what came on it. */
export type Wire = {
  readonly socket: Socket;
  readonly received: () => Buffer;
  /** Resolves when so many bytes have come. */
  readonly bytes: (count: number) => Promise<Buffer>;
  /** Resolves, with all that came, when the other end has closed. */
  readonly closed: Promise<Buffer>;
};

/** Follows a socket. */
export function wireOf(socket: Socket): Wire {
  const chunks: Buffer[] = [];
  let length = 0;
  const received = () => Buffer.concat(chunks);
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    length += chunk.length;
  });
  socket.on('error', () => undefined);
  // Not `once` of node:events, which rejects when an error comes first: a write may meet the close on its way.
  const closed = new Promise<Buffer>((resolve) => socket.once('close', () => resolve(received())));
  const bytes = async (count: number) => {
    while (length < count) await once(socket, 'data');
    return received();
  };
  return { socket, received, bytes, closed };
}

/** A device's end of a plain connection. */
export async function device(port: number): Promise<Wire> {
  const socket = connectTcp(port, '127.0.0.1');
  const wire = wireOf(socket);
  await once(socket, 'connect');
  return wire;
}

/** The CONNECT of a device, in bytes. */
export function connectBytes(deviceId: string, version: 3 | 4 | 5, more: Partial<IConnectPacket> = {}): Buffer {
  const { password, ...names } = login(deviceId);
  return generate({
    cmd: 'connect',
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion: version,
    clean: true,
    keepalive: 60,
    ...names,
    password: Buffer.from(password),
    ...more,
  });
}

/** A PUBLISH of QoS 0, in bytes that are right for all versions but 5. */
export function publishBytes(topic: string, payload: string | Buffer): Buffer {
  return generate({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false });
}

/** The first packet in some bytes, as mqtt-packet reads it. */
export function firstPacket(bytes: Buffer, version: 3 | 4 | 5 = 4): Packet {
  const packets: Packet[] = [];
  parser({ protocolVersion: version })
    .on('packet', (packet) => packets.push(packet))
    .parse(bytes);
  const [packet] = packets;
  if (packet === undefined) throw new Error('no whole packet');
  return packet;
}

/** CONNACK that accepts. */
export const ACCEPT = {
  3: Buffer.from([0x20, 2, 0, 0]),
  4: Buffer.from([0x20, 2, 0, 0]),
  5: Buffer.from([0x20, 3, 0, 0, 0]),
};

/** The far end of the gateway, for what no real broker does on demand: each link is the test's to answer. */
export class RawUpstream {
  readonly links: Wire[] = [];
  /** What is done with a new link. */
  greet: (link: Wire) => void = () => undefined;
  readonly #server = createServer((socket) => {
    const link = wireOf(socket);
    this.links.push(link);
    this.greet(link);
  });

  async start(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#server.close();
    for (const { socket } of this.links) socket.destroy();
    await once(this.#server, 'close');
  }

  /** The link that comes next. */
  next(): Promise<Wire> {
    return new Promise((resolve) => {
      this.greet = resolve;
    });
  }

  /** From now on answers each link with these bytes, once its CONNECT is there. */
  answer(bytes: Buffer): void {
    this.greet = ({ socket }) => void socket.once('data', () => socket.write(bytes));
  }
}

/** A broker behind mutual TLS that takes every link; what came to it, decrypted. */
export async function startTlsBroker(pair: { readonly cert: string; readonly key: string }, trusted: string) {
  const received: Buffer[] = [];
  const sockets = new Set<Socket>();
  const server = createTlsServer({ ...pair, ca: trusted, requestCert: true, rejectUnauthorized: true });
  server.on('secureConnection', (socket: TLSSocket) => {
    const wire = wireOf(socket);
    socket.once('data', () => socket.write(ACCEPT[4]));
    socket.once('close', () => received.push(wire.received()));
  });
  const closings: Promise<unknown>[] = [];
  server.on('connection', (socket: Socket) => {
    sockets.add(socket.on('error', () => undefined));
    closings.push(once(socket, 'close'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port: (server.address() as AddressInfo).port, received, closings, stop };
}
