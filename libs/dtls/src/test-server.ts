import { setTimeout as pause } from 'node:timers/promises';
import type { Attempt, DtlsServerOptions, Failure, Session } from './api.ts';
import { deriveFromKeys } from './psk.ts';
import { DtlsServer } from './server.ts';
import { listenUdp, type Transport, type TransportEvents } from './transport.ts';

/** The one device that the server knows, and its key. */
export const IDENTITY = 'sensor-1';
export const KEY = Buffer.from('a key of sixteen');

/** A server that echoes, with all that it said. */
export type TestServer = {
  readonly server: DtlsServer<string>;
  readonly port: number;
  readonly attempts: readonly Attempt[];
  readonly sessions: readonly Session<string>[];
  /** Reasons for which sessions ended. */
  readonly closings: readonly string[];
  readonly failures: readonly Failure[];
  readonly errors: readonly unknown[];
};

/** What a test may set otherwise. */
export type TestServerOptions = Partial<DtlsServerOptions<string>>;

/** Short waits, so that tests of losses are short. */
const LIMITS = { retransmitMs: 100, handshakeMs: 5_000 };

const running: DtlsServer<string>[] = [];

/** How the server comes to its datagrams; a free port of the loopback interface unless given. */
type Open = (events: TransportEvents) => Promise<Transport>;

const openLoopback: Open = (events) => listenUdp({ host: '127.0.0.1', port: 0 }, events);

/** Starts a server that knows `IDENTITY` and grants it. */
export async function startServer(options: TestServerOptions = {}, open = openLoopback): Promise<TestServer> {
  const attempts: Attempt[] = [];
  const sessions: Session<string>[] = [];
  const closings: string[] = [];
  const failures: Failure[] = [];
  const errors: unknown[] = [];
  const server = new DtlsServer<string>({
    derive: deriveFromKeys(async (identity) => (identity.toString() === IDENTITY ? KEY : undefined)),
    admit: async (attempt) => {
      attempts.push(attempt);
      return { isGranted: true, grant: 'granted' };
    },
    onSession: (session) => {
      sessions.push(session);
      return {
        message: (data) => session.send(Buffer.concat([Buffer.from('echo '), data])),
        closed: (reason) => closings.push(reason),
      };
    },
    onFailure: (failure) => failures.push(failure),
    onError: (error) => errors.push(error),
    ...options,
    limits: { ...LIMITS, ...options.limits },
  });
  await server.listen(open);
  running.push(server);
  return { server, port: server.address.port, attempts, sessions, closings, failures, errors };
}

/** Stops all servers that were started. */
export async function stopServers(): Promise<void> {
  await Promise.all(running.splice(0).map((server) => server.close()));
}

/** Waits until the condition holds. Throws after 10 s, which only a broken test needs. */
export async function until(condition: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 2_000; attempt++) {
    if (condition()) return;
    await pause(5);
  }
  throw new Error(`never true: ${condition}`);
}
