import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

/** What becomes of one datagram: the waits after which it is delivered, one for each copy; none when it is lost. */
export type Fate = (random: () => number) => readonly number[];

/** A relay before a server; each client has a socket of its own towards the server. */
export type Relay = { readonly port: number; readonly close: () => void };

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Starts a relay that gives each datagram, of either direction, its fate. */
export async function startRelay(serverPort: number, fate: Fate, seed: number): Promise<Relay> {
  const random = seeded(seed);
  const front = createSocket('udp4');
  const backs = new Map<number, Socket>();
  let isClosed = false;
  const deliver = (socket: Socket, datagram: Buffer, port: number) => {
    for (const waitMs of fate(random)) {
      setTimeout(() => {
        if (!isClosed) socket.send(datagram, port, '127.0.0.1');
      }, waitMs);
    }
  };
  const backFor = (clientPort: number): Socket => {
    const known = backs.get(clientPort);
    if (known !== undefined) return known;
    const back = createSocket('udp4');
    back.on('message', (datagram) => deliver(front, datagram, clientPort));
    backs.set(clientPort, back);
    return back;
  };
  front.on('message', (datagram, { port }) => deliver(backFor(port), datagram, serverPort));
  front.bind(0, '127.0.0.1');
  await once(front, 'listening');
  return {
    port: front.address().port,
    close: () => {
      isClosed = true;
      for (const socket of [front, ...backs.values()]) socket.close();
    },
  };
}
