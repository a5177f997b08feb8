import type { status } from '@grpc/grpc-js';

/** The gRPC status code of what a call rejected with; undefined when it is no such error. */
export function statusOf(error: unknown): status | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : undefined;
}
