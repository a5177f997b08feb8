import { status } from '@grpc/grpc-js';

/** An error whose code and message the caller may see. Any other error shows as INTERNAL without a cause. */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  /** A gRPC status code other than OK. */
  readonly code: status;

  constructor(code: status, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Turns what a handler threw into what the caller may see; undefined: nothing is known of it. */
export type ErrorTranslation = (error: unknown) => RpcError | undefined;

/** What the caller sees of an error. */
export function visibleError(error: unknown, translate: ErrorTranslation): RpcError {
  if (error instanceof RpcError) return error;
  return (
    translate(error) ?? new RpcError(status.INTERNAL, 'internal error; the service log has the cause', { cause: error })
  );
}
