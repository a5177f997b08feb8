import type { Server } from 'node:http';
import { systemClock, systemRandom } from '@latchkey/kernel';
import type { Address, Log, Registry } from '@latchkey/runtime';
import { type AuthClient, connectAuth } from './auth-client.ts';
import { ChangeWatcher } from './change-watcher.ts';
import { ConnectionLimits } from './connection-limits.ts';
import { drainSessions } from './drain.ts';
import type { Limits } from './limits.ts';
import { LoopDelay } from './loop-delay.ts';
import { type GatewayMetrics, gatewayMetrics } from './metrics.ts';
import { metricsListener } from './metrics-listener.ts';
import { RecentClosings } from './recent-closings.ts';
import { SessionTable } from './sessions.ts';
import { Slowdown } from './slowdown.ts';

/** What a gateway's inside is made of. */
export type GatewayOptions = {
  readonly registry: Registry;
  /** The replicas of the auth service. */
  readonly auth: readonly Address[];
  readonly limits: Limits;
  readonly log: Log;
  /** How long a decision may take; a test may shorten it. */
  readonly decisionMs?: number | undefined;
  /** How long an answer is held back to a device that fails too often; a test may shorten it. */
  readonly holdMs?: number | undefined;
  /** What else must be so for `/readyz`. */
  readonly ready?: () => boolean;
};

/** The inside of a gateway, whatever its devices speak. */
export type Gateway = {
  readonly auth: AuthClient;
  readonly watcher: ChangeWatcher;
  readonly sessions: SessionTable;
  readonly metrics: GatewayMetrics;
  readonly connections: ConnectionLimits;
  readonly slowdown: Slowdown;
  /** The server for `/metrics`, `/healthz` and `/readyz`, not yet listening. */
  readonly probes: Server;
  /** Closes the sessions, spread over the time that the limits allow; `/readyz` answers 503 from now on. */
  readonly drain: () => Promise<void>;
  /** Ends what is left, connections to the auth service and to scrapers. */
  readonly close: () => void;
};

/** Wires the inside of a gateway and follows the changes from now on. */
export function openGateway(options: GatewayOptions): Gateway {
  const { registry, auth: addresses, limits, log, decisionMs, holdMs, ready = () => true } = options;
  const { monotonic } = systemClock;
  const [clock, random] = [systemClock, systemRandom];
  const metrics = gatewayMetrics(registry, { sessionsOpen: () => sessions.size, monotonic });
  const closings = new RecentClosings(monotonic);
  const sessions = new SessionTable({ closings, metrics, log });
  const delay = new LoopDelay(monotonic);
  const connections = new ConnectionLimits({ limits, delay, monotonic, metrics });
  const slowdown = new Slowdown(holdMs);
  const auth = connectAuth({
    ...{ addresses, clock, random, metrics, log, maxInFlight: limits.decisions },
    ...(decisionMs === undefined ? {} : { deadlineMs: decisionMs }),
  });
  const watcher = new ChangeWatcher({ auth, sessions, closings, metrics, clock, random, log });
  let draining = false;
  const probes = metricsListener(registry, () => watcher.placed && !draining && ready());
  watcher.start();
  return {
    ...{ auth, watcher, sessions, metrics, connections, slowdown, probes },
    drain: () => {
      draining = true;
      return drainSessions(sessions, limits.drainMs);
    },
    close: () => {
      delay.stop();
      slowdown.stop();
      watcher.stop();
      auth.close();
      probes.closeAllConnections();
      probes.close();
    },
  };
}
