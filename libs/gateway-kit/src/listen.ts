import type { Server } from 'node:net';
import { type Address, formatAddress, SettingsError } from '@latchkey/runtime';

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
