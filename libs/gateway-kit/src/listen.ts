import type { Server } from 'node:net';
import { type Address, formatAddress, SettingsError } from '@latchkey/runtime';
import type { ConnectionLimits } from './connection-limits.ts';

/** Binds a server and answers where it listens. A SettingsError names the flag when the address cannot be had. */
export function listenOn(server: Server, flag: string, address: Address): Promise<Address> {
  return new Promise((resolve, reject) => {
    const refused = (error: NodeJS.ErrnoException) =>
      reject(
        new SettingsError(`${flag} ${formatAddress(address)} cannot be listened on (${error.code})`, { cause: error }),
      );
    server.once('error', refused);
    server.listen(address.port, address.host, () => {
      server.off('error', refused);
      const bound = server.address();
      resolve({ host: address.host, port: bound !== null && typeof bound === 'object' ? bound.port : address.port });
    });
  });
}

/**
 * Holds a server's connections to the limits before the server sees them, so that what is refused costs no handshake. Called
 * once, before it listens.
 */
export function limitConnections(server: Server, connections: Pick<ConnectionLimits, 'enter'>): void {
  const taken = server.listeners('connection');
  server.removeAllListeners('connection');
  server.on('connection', (socket) => {
    const leave = connections.enter(socket.remoteAddress ?? '');
    if (leave === undefined) return socket.resetAndDestroy(); // nothing of it stays behind in the kernel either
    socket.once('close', leave);
    for (const take of taken) take.call(server, socket);
  });
}
