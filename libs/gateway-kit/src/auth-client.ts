import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { type ClientReadableStream, status } from '@grpc/grpc-js';
import type { Clock, Random } from '@latchkey/kernel';
import {
  AuthenticateRequestSchema,
  type AuthenticateResponse,
  CheckSessionsRequestSchema,
  DenyReason,
  type SessionStanding,
  WatchChangesRequestSchema,
  type WatchChangesResponse,
} from '@latchkey/protocol/v1';
import type { Address, Log } from '@latchkey/runtime';
import type { Decision, NoDecisionCause } from './decision.ts';
import type { GatewayMetrics } from './metrics.ts';
import { Replicas } from './replicas.ts';
import { statusOf } from './status.ts';

/** How long a decision may take: devices wait 5 to 10 s for an answer, and a store's failover is over within 2 s or not at all. */
export const DECISION_DEADLINE_MS = 2_000;

/** One device's attempt. */
export type Attempt = MessageInitShape<typeof AuthenticateRequestSchema>;

/** What CheckSessions is asked of one session. */
export type SessionClaim = {
  readonly deviceId: string;
  readonly credentialId: string;
  readonly revision: bigint;
  readonly basis: Uint8Array;
};

/** The auth service, as a gateway sees it. */
export type AuthClient = {
  /** Asks for a decision. Never rejects: whatever goes wrong is `NONE`. */
  readonly authenticate: (attempt: Attempt) => Promise<Decision>;
  /**
   * Asks which sessions may stay, at most 1000, in their order; what is trusted is judged no older than the change at
   * `trustRevision`. Rejects with a ServiceError.
   */
  readonly checkSessions: (
    sessions: readonly SessionClaim[],
    trustRevision: bigint,
  ) => Promise<readonly SessionStanding[]>;
  /** Opens the stream of changes after a cursor, each time at another replica; empty: from now on. */
  readonly watchChanges: (cursor: string) => ClientReadableStream<WatchChangesResponse>;
  /** Ends every call that is open. */
  readonly close: () => void;
};

/** What `connectAuth` needs. */
export type AuthClientOptions = {
  /** The replicas of the auth service: one or more. */
  readonly addresses: readonly Address[];
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: GatewayMetrics;
  readonly log: Log;
  readonly deadlineMs?: number;
  /** Questions open at a time; over that there is no decision, at once. */
  readonly maxInFlight: number;
};

/** A client of the auth service, whose replicas may be absent: they are looked for again and again. */
export function connectAuth(options: AuthClientOptions): AuthClient {
  const { deadlineMs = DECISION_DEADLINE_MS } = options;
  const replicas = new Replicas(options);
  return {
    authenticate: authenticator(replicas, options),
    checkSessions: async (sessions, trustRevision) => {
      const request = create(CheckSessionsRequestSchema, { sessions: [...sessions], trustRevision });
      const { standings } = await replicas.ask(deadlineMs, (replica, ms) => replica.checkSessions(request, ms));
      return standings;
    },
    watchChanges: (cursor) => replicas.nextToFollow().watchChanges(create(WatchChangesRequestSchema, { cursor })),
    close: () => replicas.close(),
  };
}

function authenticator(replicas: Replicas, options: AuthClientOptions): AuthClient['authenticate'] {
  const { clock, deadlineMs = DECISION_DEADLINE_MS, maxInFlight, metrics } = options;
  let inFlight = 0;
  return async (attempt) => {
    if (inFlight >= maxInFlight) return { decision: 'NONE', cause: 'OVERLOADED' };
    const begun = clock.monotonic();
    metrics.inFlight(++inFlight);
    try {
      const request = create(AuthenticateRequestSchema, attempt);
      return readDecision(await replicas.ask(deadlineMs, (replica, ms) => replica.authenticate(request, ms)));
    } catch (error) {
      return { decision: 'NONE', cause: causeOf(error) };
    } finally {
      metrics.inFlight(--inFlight);
      metrics.answered((clock.monotonic() - begun) / 1000);
    }
  };
}

function readDecision({ decision }: AuthenticateResponse): Decision {
  if (decision.case === 'granted' && decision.value.credentialId !== '') {
    const { credentialId, revision, expiresAt } = decision.value;
    // A copy: what was read is a view of the whole message, which would live as long as the session.
    const basis = Uint8Array.from(decision.value.basis);
    return { decision: 'GRANTED', credentialId, revision, basis, expiresAtMs: expiresAt && timestampMs(expiresAt) };
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
