import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A TCP proxy on a loopback port that a test can stop, cut and turn to another server. */
export type Proxy = {
  readonly url: string;
  /** Where connections made from now on lead: the port, by the number of the connection from 0. */
  target: (connection: number) => number;
  /** Holds back all bytes both ways, as a host that hangs does; false lets them go on. */
  readonly hang: (hanging: boolean) => void;
  /** Cuts the connections with these numbers; without any, all. */
  readonly cut: (...numbers: readonly number[]) => void;
  /** The numbers of the connections that are open. */
  readonly open: () => readonly number[];
  readonly stop: () => Promise<void>;
};

/** Starts one in front of a server. */
export async function startProxy(port: number): Promise<Proxy> {
  const pairs = new Map<number, readonly [Socket, Socket]>();
  let hanging = false;
  let count = 0;
  const server = createServer((near) => {
    const number = count++;
    const far = connect(proxy.target(number), '127.0.0.1');
    pairs.set(number, [near, far]);
    near.pipe(far).pipe(near);
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        near.destroy();
        far.destroy();
        pairs.delete(number);
      });
    }
    if (hanging) hold(near, far);
  });
  const hold = (...sockets: readonly Socket[]) => {
    for (const socket of sockets) socket.unpipe().pause();
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (...numbers: readonly number[]) => {
    for (const [number, [near]] of pairs) if (numbers.length === 0 || numbers.includes(number)) near.destroy();
  };
  const proxy: Proxy = {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    target: () => port,
    hang: (now) => {
      hanging = now;
      for (const [near, far] of pairs.values()) {
        if (now) hold(near, far);
        else near.pipe(far).pipe(near);
      }
    },
    cut,
    open: () => [...pairs.keys()],
    stop: async () => {
      cut();
      server.close();
      await once(server, 'close');
    },
  };
  return proxy;
}
