import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { startRedisServer } from '@latchkey/store-redis/testing';

/** The Redis that the replicas share, and what can be done to it. */
export type StoreServers = {
  /** The port that every replica's proxy leads to. */
  readonly port: number;
  readonly freeze: () => void;
  readonly thaw: () => void;
  /** Ends it by this signal and starts it again with what lies on the disk. */
  readonly restart: (signal: 'SIGKILL' | 'SIGTERM') => Promise<void>;
  /** Sends one command past all proxies; an error reply or a server that is away is nothing to it. */
  readonly command: (line: string) => Promise<void>;
  readonly stop: () => Promise<void>;
};

/** How long Redis may take to reply to a command of the tool; paused clients are not waited for. */
const COMMAND_DEADLINE_MS = 1_000;

/** How long Redis is away in a restart: enough for replicas to notice and to try in vain. */
const AWAY_MS = 300;

/** One Redis with `appendfsync always`. */
export async function startStandalone(): Promise<StoreServers> {
  const server = await startRedisServer({ appendfsync: 'always' });
  return {
    port: server.port,
    freeze: () => server.signal('SIGSTOP'),
    thaw: () => server.signal('SIGCONT'),
    restart: async (signal) => {
      server.signal('SIGCONT');
      server.signal(signal);
      await pause(AWAY_MS);
      await server.restart();
    },
    command: (line) => command(server.port, line),
    stop: server.stop,
  };
}

async function command(port: number, line: string): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined); // Redis is away
  socket.write(`${line}\r\n`);
  await Promise.race([once(socket, 'data').catch(() => undefined), pause(COMMAND_DEADLINE_MS)]);
  socket.destroy();
}
