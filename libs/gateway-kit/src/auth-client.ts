import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { Client, type ClientReadableStream, credentials, status } from '@grpc/grpc-js';
import type { Clock } from '@latchkey/kernel';
import {
  AuthenticateRequestSchema,
  type AuthenticateResponse,
  AuthenticationService,
  CheckSessionsRequestSchema,
  DenyReason,
  type SessionStanding,
  WatchChangesRequestSchema,
  type WatchChangesResponse,
} from '@latchkey/protocol/v1';
import { serverStream, unaryMethod } from '@latchkey/rpc';
import { type Address, formatAddress } from '@latchkey/runtime';
import type { Decision, NoDecisionCause } from './decision.ts';
import type { GatewayMetrics } from './metrics.ts';

/** How long a decision may take: devices wait 5 to 10 s for an answer, and a store's failover is over within 2 s or not at all. */
export const DECISION_DEADLINE_MS = 2_000;

/** Questions open at a time: at 5,000 decisions per second the deadline's worth of them; one holds about 10 KB. */
const MAX_QUESTIONS_IN_FLIGHT = 10_000;

/** Reconnects begin fast, for a restarted service, and never wait longer than a device does. */
const RECONNECT_INITIAL_MS = 200;
const RECONNECT_MAX_MS = 2_000;

/** A connection whose other end is gone without a word is found out within 7 s. */
const KEEPALIVE_INTERVAL_MS = 5_000;
const KEEPALIVE_TIMEOUT_MS = 2_000;

/** One device's attempt. */
export type Attempt = MessageInitShape<typeof AuthenticateRequestSchema>;

/** What CheckSessions is asked of one session. */
export type SessionClaim = { readonly deviceId: string; readonly credentialId: string; readonly revision: bigint };

/** The auth service, as a gateway sees it. */
export type AuthClient = {
  /** Asks for a decision. Never rejects: whatever goes wrong is `NONE`. */
  readonly authenticate: (attempt: Attempt) => Promise<Decision>;
  /** Asks which sessions may stay, at most 1000, in their order. Rejects with a ServiceError. */
  readonly checkSessions: (sessions: readonly SessionClaim[]) => Promise<readonly SessionStanding[]>;
  /** Opens the stream of changes after a cursor; empty: from now on. */
  readonly watchChanges: (cursor: string) => ClientReadableStream<WatchChangesResponse>;
  /** Ends every call that is open. */
  readonly close: () => void;
};

/** What `connectAuth` needs. */
export type AuthClientOptions = {
  readonly address: Address;
  readonly clock: Clock;
  readonly metrics: GatewayMetrics;
  readonly deadlineMs?: number;
  readonly maxInFlight?: number;
};

/** A client of the auth service, which may be absent: it is looked for again and again. */
export function connectAuth(options: AuthClientOptions): AuthClient {
  const { clock, deadlineMs = DECISION_DEADLINE_MS } = options;
  const client = new Client(formatAddress(options.address), credentials.createInsecure(), {
    'grpc.initial_reconnect_backoff_ms': RECONNECT_INITIAL_MS,
    'grpc.max_reconnect_backoff_ms': RECONNECT_MAX_MS,
    'grpc.keepalive_time_ms': KEEPALIVE_INTERVAL_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
    'grpc.enable_retries': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.use_local_subchannel_pool': 1,
  });
  const { checkSessions, watchChanges } = AuthenticationService.method;
  const check = unaryMethod(client, checkSessions, clock.now);
  return {
    authenticate: authenticator(client, options),
    checkSessions: async (sessions) => {
      const request = create(CheckSessionsRequestSchema, { sessions: [...sessions] });
      return (await check(request, deadlineMs)).standings;
    },
    watchChanges: (cursor) => serverStream(client, watchChanges, create(WatchChangesRequestSchema, { cursor })),
    close: () => client.close(),
  };
}

function authenticator(client: Client, options: AuthClientOptions): AuthClient['authenticate'] {
  const { clock, deadlineMs = DECISION_DEADLINE_MS, maxInFlight = MAX_QUESTIONS_IN_FLIGHT, metrics } = options;
  const ask = unaryMethod(client, AuthenticationService.method.authenticate, clock.now);
  let inFlight = 0;
  return async (attempt) => {
    if (inFlight >= maxInFlight) return { decision: 'NONE', cause: 'OVERLOADED' };
    const begun = clock.monotonic();
    inFlight++;
    try {
      return readDecision(await ask(create(AuthenticateRequestSchema, attempt), deadlineMs));
    } catch (error) {
      return { decision: 'NONE', cause: causeOf(error) };
    } finally {
      inFlight--;
      metrics.answered((clock.monotonic() - begun) / 1000);
    }
  };
}

function readDecision({ decision }: AuthenticateResponse): Decision {
  if (decision.case === 'granted' && decision.value.credentialId !== '') {
    const { credentialId, revision, expiresAt } = decision.value;
    return { decision: 'GRANTED', credentialId, revision, expiresAtMs: expiresAt && timestampMs(expiresAt) };
  }
  if (decision.case === 'denied' && decision.value.reason !== DenyReason.UNSPECIFIED) {
    return { decision: 'DENIED', reason: decision.value.reason };
  }
  return { decision: 'NONE', cause: 'UNREADABLE' };
}

function causeOf(error: unknown): NoDecisionCause {
  switch (statusOf(error)) {
    case status.UNAVAILABLE:
      return 'UNAVAILABLE';
    case status.DEADLINE_EXCEEDED:
      return 'DEADLINE';
    case status.RESOURCE_EXHAUSTED:
      return 'OVERLOADED';
    default:
      return 'FAILED';
  }
}

/** The gRPC status code of what a call rejected with; undefined when it is no such error. */
export function statusOf(error: unknown): status | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : undefined;
}
