import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import type { Peer } from './api.ts';

/** Where to listen. */
export type Address = { readonly host: string; readonly port: number };

/** A UDP socket as the server uses it. */
export type Transport = {
  /** Where it listens. */
  readonly address: Address;
  /** False when the datagram was dropped. */
  readonly send: (peer: Peer, datagram: Buffer) => boolean;
  readonly close: () => Promise<void>;
};

/** What is heard from a socket. */
export type TransportEvents = {
  readonly datagram: (datagram: Buffer, from: Peer) => void;
  readonly error: (error: unknown) => void;
};

/** What the kernel does not take at once waits in the process; beyond this it is dropped, as a network would. */
const MAX_QUEUED_BYTES = 4 * 1024 * 1024;

/** Binds a UDP socket. Rejects when the address is taken or not this machine's. */
export async function listenUdp({ host, port }: Address, events: TransportEvents): Promise<Transport> {
  const family = isIPv6(host) ? 6 : 4;
  // Destinations are addresses of datagrams that came in: looking them up would only delay what is sent before a close.
  const socket = createSocket({ type: `udp${family}`, lookup: (name, _options, use) => use(null, name, family) });
  const listening = once(socket, 'listening');
  socket.bind(port, host);
  await listening;
  socket.on('error', events.error);
  socket.on('message', (datagram, from) => events.datagram(datagram, { address: from.address, port: from.port }));
  const bound = socket.address();
  return {
    address: { host: bound.address, port: bound.port },
    send: (peer, datagram) => send(socket, peer, datagram),
    close: async () => {
      const closed = once(socket, 'close');
      socket.close();
      await closed;
    },
  };
}

function send(socket: Socket, { address, port }: Peer, datagram: Buffer): boolean {
  if (socket.getSendQueueSize() + datagram.length > MAX_QUEUED_BYTES) return false;
  // An error here (no route, no buffer) is a lost datagram; the protocol above knows what to do about it.
  socket.send(datagram, port, address, () => {});
  return true;
}
