import { status } from '@grpc/grpc-js';
import { AuthenticationService } from '@latchkey/protocol/v1';
import { type CallObserver, RpcError, visibleError } from '@latchkey/rpc';
import type { Log } from '@latchkey/runtime';
import { StoreUnavailable } from '@latchkey/store';
import { NoDecision } from '@latchkey/verifier';

/** A store that is away fails every question: one line in this time tells as much, with the number of those left out. */
const FAILURE_LOG_GAP_MS = 1_000;

/** What callers may see of what the middle throws: UNAVAILABLE, never a decision. */
export function translate(error: unknown): RpcError | undefined {
  if (error instanceof NoDecision) return new RpcError(status.UNAVAILABLE, `no decision: ${error.message}`);
  if (error instanceof StoreUnavailable)
    return new RpcError(
      status.UNAVAILABLE,
      'the store cannot be reached; if this was to change something, it may or may not have happened',
      { cause: error },
    );
  return undefined;
}

/** Hears what a caller may not see of a failure. */
export type FailureLog = (method: string, error: unknown) => void;

/** Says it in the log, but not as often as it happens. */
export function failureLog(log: Log, monotonic: () => number): FailureLog {
  let saidMs = Number.NEGATIVE_INFINITY;
  let unsaid = 0;
  return (method, error) => {
    const nowMs = monotonic();
    if (nowMs - saidMs < FAILURE_LOG_GAP_MS) {
      unsaid += 1;
      return;
    }
    log.error({ err: error, method, unsaid }, 'a call failed');
    saidMs = nowMs;
    unsaid = 0;
  };
}

/** Observes calls as `observe` does, and logs what their callers may not see. */
export function logging(observe: CallObserver, failed: FailureLog): CallObserver {
  return (call) => {
    observe(call);
    if (call.hidden !== undefined) failed(call.method, call.hidden);
  };
}

/** What a question of a stream is answered when no decision could be made. */
export function codeOf(error: unknown, failed: FailureLog): status {
  const { code, cause } = visibleError(error, translate);
  if (cause !== undefined) failed(AuthenticationService.method.authenticateStream.name, cause);
  return code;
}
