import { status } from '@grpc/grpc-js';
import { RpcError } from '@latchkey/rpc';
import { StoreUnavailable } from '@latchkey/store';
import { NoDecision } from '@latchkey/verifier';

/** What callers may see of what the middle throws: UNAVAILABLE, never a decision. */
export function translate(error: unknown): RpcError | undefined {
  if (error instanceof NoDecision) return new RpcError(status.UNAVAILABLE, `no decision: ${error.message}`);
  if (error instanceof StoreUnavailable)
    return new RpcError(status.UNAVAILABLE, 'the store cannot be reached; a write may or may not have happened', {
      cause: error,
    });
  return undefined;
}
