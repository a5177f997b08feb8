import { create } from '@bufbuild/protobuf';
import {
  type AuthenticateResponse,
  AuthenticateResponseSchema,
  type AuthenticationService,
  WatchChangesRequestSchema,
} from '@latchkey/protocol/v1';
import { type Handlers, validate } from '@latchkey/rpc';
import type { Log } from '@latchkey/runtime';
import type { Answer, Verifier } from '@latchkey/verifier';
import { toDecision } from './convert.ts';
import type { DecisionMetrics } from './metrics.ts';
import { readQuestion } from './question.ts';
import type { createWatch } from './watch.ts';

const MAX_UINT32 = 0xffff_ffff;

/** The part of AuthenticationService that is served. */
export function authenticationService(options: {
  readonly verifier: Verifier;
  readonly watch: ReturnType<typeof createWatch>;
  readonly decisions: DecisionMetrics;
  readonly log: Log;
}): Handlers<typeof AuthenticationService> {
  const { verifier, watch, decisions, log } = options;
  const respond = (answer: Answer, deviceId: string): AuthenticateResponse => {
    const { decision, cacheAgeMs } = answer;
    decisions.count(decision);
    if (!decision.granted) log.debug({ deviceId, reason: decision.reason }, 'denied');
    return create(AuthenticateResponseSchema, {
      decision: toDecision(decision),
      cacheAgeMs: Math.min(Math.round(cacheAgeMs), MAX_UINT32), // a record may lie in memory for longer than 49 days
    });
  };
  return {
    authenticate(request) {
      const answer = verifier.authenticate(readQuestion(request));
      if (!(answer instanceof Promise)) return respond(answer, request.deviceId);
      return answer.then((late) => respond(late, request.deviceId));
    },
    watchChanges(request, call) {
      validate(WatchChangesRequestSchema, request);
      watch.open(request, call);
    },
  };
}
