import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Decision } from '@latchkey/credential';
import { type CredentialId, type Revision, toRevision } from '@latchkey/kernel';
import {
  type AuthenticateRequest,
  type AuthenticateResponse,
  type AuthenticationService,
  type CheckSessionsRequest,
  CheckSessionsRequestSchema,
  CheckSessionsResponseSchema,
  DerivePskSecretRequestSchema,
  DerivePskSecretResponseSchema,
  GetReplicaResponseSchema,
  type MintTokenResponse,
  MintTokenResponse_MintedTokenSchema,
  MintTokenResponseSchema,
  SessionStanding,
  WatchChangesRequestSchema,
} from '@latchkey/protocol/v1';
import { type Handlers, validate } from '@latchkey/rpc';
import type { Log } from '@latchkey/runtime';
import type { Answer, Minting, Question, Session, Verifier } from '@latchkey/verifier';
import { unpackBasis } from './basis.ts';
import { toDecision } from './convert.ts';
import type { DecisionMetrics } from './metrics.ts';
import { derivationOf, namedBy } from './psk.ts';
import { readDeviceId, readMinting, readQuestion } from './question.ts';
import type { createStreams } from './stream.ts';
import type { createWatch } from './watch.ts';

const MAX_UINT32 = 0xffff_ffff;
/** No record gets so far: a session that says so is of no use. */
const MAX_REVISION = BigInt(Number.MAX_SAFE_INTEGER);

/** Decides on one attempt: at once when the record is in memory. Throws or rejects where no decision can be made. */
export type Decide = (request: AuthenticateRequest) => AuthenticateResponse | Promise<AuthenticateResponse>;

/** How each decision is told to the operator, and to the gateway. */
export function createDecide(options: {
  readonly verifier: Verifier;
  readonly decisions: DecisionMetrics;
  readonly log: Log;
}): Decide {
  const respond = ({ decision, cacheAgeMs }: Answer, deviceId: string): AuthenticateResponse => {
    noteDecision(decision, deviceId, options);
    return {
      $typeName: 'latchkey.v1.AuthenticateResponse',
      decision: toDecision(decision),
      cacheAgeMs: Math.min(Math.round(cacheAgeMs), MAX_UINT32), // a record may lie in memory for longer than 49 days
    };
  };
  return (request) => {
    const answer = options.verifier.authenticate(readQuestion(request));
    if (!(answer instanceof Promise)) return respond(answer, request.deviceId);
    return answer.then((late) => respond(late, request.deviceId));
  };
}

function noteDecision(
  decision: Decision,
  deviceId: string,
  { decisions, log }: { readonly decisions: DecisionMetrics; readonly log: Log },
): void {
  decisions.count(decision);
  if (!decision.granted) log.debug({ deviceId, reason: decision.reason }, 'denied');
}

/** The part of AuthenticationService that is served. */
export function authenticationService(options: {
  readonly verifier: Verifier;
  readonly decide: Decide;
  readonly streams: ReturnType<typeof createStreams>;
  readonly mint: (question: Question) => Promise<Minting>;
  readonly watch: ReturnType<typeof createWatch>;
  readonly decisions: DecisionMetrics;
  /** What this process says of itself. */
  readonly replica: MessageInitShape<typeof GetReplicaResponseSchema>;
  /** Products whose devices may name themselves by node id in a DTLS handshake. */
  readonly coapProducts: readonly string[];
  readonly log: Log;
}): Handlers<typeof AuthenticationService> {
  const { verifier, decide, streams, mint, watch, decisions, coapProducts, log } = options;
  const replica = create(GetReplicaResponseSchema, options.replica);
  return {
    authenticate(request) {
      return decide(request);
    },
    authenticateStream(call) {
      streams.open(call);
    },
    async mintToken(request) {
      const question = readMinting(request);
      const minting = await mint(question);
      noteDecision(minting.answer.decision, question.deviceId, { decisions, log });
      return toMintTokenResponse(minting);
    },
    async derivePskSecret(request) {
      validate(DerivePskSecretRequestSchema, request);
      const { derivation } = request;
      if (derivation === undefined) throw new Error('validated without a derivation');
      const deviceIds = namedBy(derivation.identity, coapProducts);
      const { source } = request;
      const derived = await verifier.derivePsk({ deviceIds, derivation: derivationOf(derivation), source });
      decisions.derived(derived.deviceId !== undefined);
      if (derived.deviceId === undefined)
        log.debug({ source }, 'a DTLS identity names no device, or one that has failed too often');
      return create(DerivePskSecretResponseSchema, {
        masterSecret: derived.primary,
        deviceId: derived.deviceId ?? '',
        secondaryMasterSecret: derived.secondary ?? new Uint8Array(),
      });
    },
    async checkSessions(request) {
      validate(CheckSessionsRequestSchema, request);
      const standings = await verifier.checkSessions(sessionsOf(request), revisionOf(request.trustRevision));
      return create(CheckSessionsResponseSchema, {
        standings: standings.map((stands) => (stands ? SessionStanding.GOOD : SessionStanding.CLOSE)),
      });
    },
    watchChanges(request, call) {
      validate(WatchChangesRequestSchema, request);
      watch.open(request, call);
    },
    getReplica() {
      return replica;
    },
  };
}

function toMintTokenResponse({ answer, token }: Minting): MintTokenResponse {
  const decision = toDecision(answer.decision);
  if (decision.case === 'denied') return create(MintTokenResponseSchema, { result: decision });
  const value = { token: token?.reveal() ?? '', granted: decision.value };
  return create(MintTokenResponseSchema, {
    result: { case: 'minted', value: create(MintTokenResponse_MintedTokenSchema, value) },
  });
}

function sessionsOf({ sessions }: CheckSessionsRequest): readonly Session[] {
  return sessions.map(({ deviceId, credentialId, revision, basis }) => ({
    deviceId: readDeviceId(deviceId),
    basis: unpackBasis(basis),
    credentialId: credentialId as CredentialId, // only compared
    revision: revisionOf(revision),
  }));
}

function revisionOf(revision: bigint): Revision {
  return toRevision(revision < MAX_REVISION ? revision : MAX_REVISION);
}
