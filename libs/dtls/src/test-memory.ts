import type { Network } from './test-client.ts';
import type { Transport, TransportEvents } from './transport.ts';

/** A server's end of a network in memory, and the network for its clients: datagrams arrive in the same turn. */
export type Memory = { readonly open: (events: TransportEvents) => Promise<Transport>; readonly network: Network };

/** Makes a network that nothing is lost on. */
export function makeMemory(): Memory {
  const clients = new Map<number, (datagram: Buffer) => void>();
  let lastPort = 0;
  let toServer: TransportEvents['datagram'] = () => {};
  return {
    open: async (events) => {
      toServer = events.datagram;
      const send: Transport['send'] = (peer, datagram) => {
        clients.get(peer.port)?.(Buffer.from(datagram));
        return true;
      };
      return { address: { host: 'memory', port: 0 }, send, close: async () => {} };
    },
    network: {
      join: (hear) => {
        lastPort += 1;
        const port = lastPort;
        clients.set(port, hear);
        return {
          send: (datagram) => toServer(Buffer.from(datagram), { address: 'memory', port }),
          leave: () => clients.delete(port),
        };
      },
    },
  };
}
