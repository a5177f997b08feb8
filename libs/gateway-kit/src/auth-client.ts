import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { type ClientReadableStream, status } from '@grpc/grpc-js';
import { type Clock, parseDeviceId, type Random, Secret } from '@latchkey/kernel';
import {
  AuthenticateRequestSchema,
  type AuthenticateResponse,
  CheckSessionsRequestSchema,
  type Denied,
  DenyReason,
  DerivePskSecretRequestSchema,
  type DerivePskSecretResponse,
  type Granted,
  MintTokenRequestSchema,
  type MintTokenResponse,
  type SessionStanding,
  WatchChangesRequestSchema,
  type WatchChangesResponse,
} from '@latchkey/protocol/v1';
import type { Address, Log } from '@latchkey/runtime';
import type { Decision, Denial, Grant, Minting, NoDecision, NoDecisionCause, PskSecrets } from './decision.ts';
import type { GatewayMetrics } from './metrics.ts';
import { type Call, Replicas } from './replicas.ts';
import { statusOf } from './status.ts';

/** How long a decision may take: devices wait 5 to 10 s for an answer, and a store's failover is over within 2 s or not at all. */
export const DECISION_DEADLINE_MS = 2_000;

/** One device's attempt. */
export type Attempt = MessageInitShape<typeof AuthenticateRequestSchema>;

/** One device's handshake. */
export type Derivation = MessageInitShape<typeof DerivePskSecretRequestSchema>;

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
  /** Asks for a decision on a digest or a secret, and for an access token. Never rejects: whatever goes wrong is `NONE`. */
  readonly mintToken: (attempt: Attempt) => Promise<Minting>;
  /** Asks for the master secret of a DTLS handshake. Never rejects: whatever goes wrong is `NONE`. */
  readonly derivePskSecret: (request: Derivation) => Promise<PskSecrets | NoDecision>;
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
  /** Whether another replica than the one that is followed says that it can decide on every device. */
  readonly servesElsewhere: () => boolean;
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
  const ask = asker(replicas, options);
  return {
    authenticate: (attempt) => {
      const request = create(AuthenticateRequestSchema, attempt);
      return ask((replica, ms) => replica.authenticate(request, ms), readDecision);
    },
    mintToken: (attempt) => {
      const request = create(MintTokenRequestSchema, { attempt });
      return ask((replica, ms) => replica.mintToken(request, ms), readMinting);
    },
    derivePskSecret: (derivation) => {
      const request = create(DerivePskSecretRequestSchema, derivation);
      return ask((replica, ms) => replica.derivePskSecret(request, ms), readSecrets);
    },
    checkSessions: async (sessions, trustRevision) => {
      const request = create(CheckSessionsRequestSchema, { sessions: [...sessions], trustRevision });
      const { standings } = await replicas.ask(deadlineMs, (replica, ms) => replica.checkSessions(request, ms));
      return standings;
    },
    watchChanges: (cursor) => {
      const request = create(WatchChangesRequestSchema, { cursor, takesPartialBeats: true });
      return replicas.nextToFollow().watchChanges(request);
    },
    servesElsewhere: () => replicas.hasOtherToFollow,
    close: () => replicas.close(),
  };
}

type Ask = <T, A>(call: Call<T>, read: (answer: T) => A) => Promise<A | NoDecision>;

/** Asks the replicas and reads the answer; all questions share one bound. */
function asker(replicas: Replicas, options: AuthClientOptions): Ask {
  const { clock, deadlineMs = DECISION_DEADLINE_MS, maxInFlight, metrics } = options;
  let inFlight = 0;
  return async (call, read) => {
    if (inFlight >= maxInFlight) return { decision: 'NONE', cause: 'OVERLOADED' };
    const begun = clock.monotonic();
    metrics.inFlight(++inFlight);
    try {
      return read(await replicas.ask(deadlineMs, call));
    } catch (error) {
      return { decision: 'NONE', cause: causeOf(error) };
    } finally {
      metrics.inFlight(--inFlight);
      metrics.answered((clock.monotonic() - begun) / 1000);
    }
  };
}

const UNREADABLE = { decision: 'NONE', cause: 'UNREADABLE' } as const;

function readDecision({ decision }: AuthenticateResponse): Decision {
  if (decision.case === 'granted') return readGrant(decision.value) ?? UNREADABLE;
  return (decision.case === 'denied' ? readDenial(decision.value) : undefined) ?? UNREADABLE;
}

function readMinting({ result }: MintTokenResponse): Minting {
  if (result.case === 'denied') return readDenial(result.value) ?? UNREADABLE;
  const { token = '', granted } = result.value ?? {};
  const grant = granted && readGrant(granted);
  return grant === undefined || token === '' ? UNREADABLE : { ...grant, token: new Secret(token) };
}

function readSecrets({ deviceId, masterSecret, secondaryMasterSecret }: DerivePskSecretResponse) {
  const masterSecrets = [masterSecret, secondaryMasterSecret].filter(({ length }) => length > 0);
  if (masterSecret.length === 0) return UNREADABLE;
  return { decision: 'DERIVED', deviceId: parseDeviceId(deviceId), masterSecrets } satisfies PskSecrets;
}

function readGrant(granted: Granted): Grant | undefined {
  const { credentialId, revision, expiresAt } = granted;
  if (credentialId === '') return undefined;
  // A copy: what was read is a view of the whole message, which would live as long as the session.
  const basis = Uint8Array.from(granted.basis);
  return { decision: 'GRANTED', credentialId, revision, basis, expiresAtMs: expiresAt && timestampMs(expiresAt) };
}

function readDenial({ reason }: Denied): Denial | undefined {
  return reason === DenyReason.UNSPECIFIED ? undefined : { decision: 'DENIED', reason };
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
