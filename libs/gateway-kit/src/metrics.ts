import { DenyReasonSchema } from '@latchkey/protocol/v1';
import { Counter, Gauge, Histogram, type Registry } from '@latchkey/runtime';
import type { ConnectionRefusal } from './connection-limits.ts';
import type { Decision } from './decision.ts';
import type { CloseCause } from './sessions.ts';

/** Seconds: from a warm decision on the same machine to the deadline. */
const DECISION_BUCKETS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2];

/** What every gateway counts. No label names a device. */
export type GatewayMetrics = {
  /** The auth service answered, or failed to, after so many seconds. */
  readonly answered: (seconds: number) => void;
  /** A device was given this decision, or was refused at the edge for this reason before anybody was asked. */
  readonly decided: (decision: Decision | { readonly decision: 'REFUSED'; readonly why: string }) => void;
  /** So many questions to the auth service are open now. */
  readonly inFlight: (count: number) => void;
  /** So many connections are open now, whatever they speak. */
  readonly connectionsOpen: (count: number) => void;
  /** A connection was closed before a byte of it was read. */
  readonly connectionRefused: (why: ConnectionRefusal) => void;
  /** So many replicas of the auth service are usable now. */
  readonly replicasUsable: (count: number) => void;
  /** A question that one replica could not answer was asked at another one. */
  readonly askedAgain: () => void;
  /** A session was closed from this side. */
  readonly closed: (cause: CloseCause) => void;
  /** The watcher of changes found or lost its stream. */
  readonly following: (following: boolean) => void;
  /** The replica that is followed cannot tell of so many logs. */
  readonly silentLogs: (count: number) => void;
  /** The watcher heard something, at this time of the monotonic clock. */
  readonly heard: (atMs: number) => void;
};

/** Registers the figures of a gateway. `sessionsOpen` is read at each scrape. */
export function gatewayMetrics(
  registry: Registry,
  readings: { readonly sessionsOpen: () => number; readonly monotonic: () => number },
): GatewayMetrics {
  const registers = [registry];
  const decisions = new Counter({
    name: 'latchkey_gateway_decisions_total',
    help: 'Attempts of devices by outcome (GRANTED, DENIED, NONE: no decision, REFUSED: at the edge) and reason',
    labelNames: ['outcome', 'reason'],
    registers,
  });
  const latency = new Histogram({
    name: 'latchkey_gateway_decision_seconds',
    help: 'How long the auth service took to answer',
    buckets: DECISION_BUCKETS_S,
    registers,
  });
  const closed = new Counter({
    name: 'latchkey_gateway_sessions_closed_total',
    help: 'Sessions closed from this side, by cause',
    labelNames: ['cause'],
    registers,
  });
  new Gauge({
    name: 'latchkey_gateway_sessions_open',
    help: 'Sessions that are open',
    registers,
    collect() {
      this.set(readings.sessionsOpen());
    },
  });
  return {
    answered: (seconds) => latency.observe(seconds),
    decided: (decision) => decisions.inc({ outcome: decision.decision, reason: reasonOf(decision) }),
    closed: (cause) => closed.inc({ cause }),
    ...replicaMetrics(registry),
    ...limitMetrics(registry),
    ...watcherMetrics(registry, readings.monotonic),
  };
}

function limitMetrics(registry: Registry): Pick<GatewayMetrics, 'inFlight' | 'connectionsOpen' | 'connectionRefused'> {
  const registers = [registry];
  const inFlight = new Gauge({
    name: 'latchkey_gateway_decisions_in_flight',
    help: 'Questions to the auth service that are open; at --max-decisions devices are told to come again',
    registers,
  });
  const open = new Gauge({
    name: 'latchkey_gateway_connections_open',
    help: 'Connections that are open, also those that are no sessions yet',
    registers,
  });
  const refused = new Counter({
    name: 'latchkey_gateway_connections_refused_total',
    help: 'Connections closed before a byte was read: BUSY (the process is late), TOTAL, SOURCE (too many of one source), RATE (too many new ones of one source)',
    labelNames: ['cause'],
    registers,
  });
  return {
    inFlight: (count) => inFlight.set(count),
    connectionsOpen: (count) => open.set(count),
    connectionRefused: (cause) => refused.inc({ cause }),
  };
}

function replicaMetrics(registry: Registry): Pick<GatewayMetrics, 'replicasUsable' | 'askedAgain'> {
  const usable = new Gauge({
    name: 'latchkey_gateway_replicas_usable',
    help: 'Replicas of the auth service that answer; the others are passed over until a check of their health passes',
    registers: [registry],
  });
  const again = new Counter({
    name: 'latchkey_gateway_asked_again_total',
    help: 'Questions that one replica could not answer in time and another one was asked',
    registers: [registry],
  });
  return { replicasUsable: (count) => usable.set(count), askedAgain: () => again.inc() };
}

function watcherMetrics(
  registry: Registry,
  monotonic: () => number,
): Pick<GatewayMetrics, 'following' | 'silentLogs' | 'heard'> {
  let heardAtMs = monotonic();
  const following = new Gauge({
    name: 'latchkey_gateway_changes_followed',
    help: '1 while the stream of changes is followed, else 0',
    registers: [registry],
  });
  const silent = new Gauge({
    name: 'latchkey_gateway_changes_silent_logs',
    help: 'Logs of the store whose changes cannot be followed now, as the replica that is followed says',
    registers: [registry],
  });
  new Gauge({
    name: 'latchkey_gateway_changes_silence_seconds',
    help: 'Since when nothing was heard on the stream of changes; a beat comes every second',
    registers: [registry],
    collect() {
      this.set((monotonic() - heardAtMs) / 1000);
    },
  });
  return {
    following: (now) => following.set(now ? 1 : 0),
    silentLogs: (count) => silent.set(count),
    heard: (atMs) => {
      heardAtMs = atMs;
    },
  };
}

function reasonOf(decision: Parameters<GatewayMetrics['decided']>[0]): string {
  switch (decision.decision) {
    case 'GRANTED':
      return '';
    case 'DENIED':
      return DenyReasonSchema.value[decision.reason]?.localName ?? 'OTHER';
    case 'NONE':
      return decision.cause;
    case 'REFUSED':
      return decision.why;
  }
}
