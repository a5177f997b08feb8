import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * Under the ports that Linux gives to whoever asks for any (ip_local_port_range, 32768 and up): another test that starts
 * meanwhile does not get a port that is between two servers, or between being found and being used.
 */
const FIRST_PORT = 10_000;
const END_PORT = 32_000;

/** So many that are taken one after the other mean that something else is wrong. */
const MAX_ATTEMPTS = 100;

/** A port of the loopback interface that nothing listens on, for a server that cannot be told to take any. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const port = randomInt(FIRST_PORT, END_PORT);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port among ${MAX_ATTEMPTS} from ${FIRST_PORT} to ${END_PORT - 1}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
