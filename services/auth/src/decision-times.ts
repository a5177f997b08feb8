import { Metadata } from '@grpc/grpc-js';
import type { Lease } from '@latchkey/store';

/** Carries the moment of a decision behind its answer: microseconds of the machine's monotonic clock. */
const DECIDED_AT = 'latchkey-decided-at-us';

/**
 * A lease that notes when it was last found to hold, which is the last thing that is looked at before a decision, and
 * the metadata that tells it. Between that look and the answer the event loop does not turn, so a later look of another
 * question in the same turn is as good: what it allows, it would have allowed the first one too.
 */
export function noteDecisions(
  lease: Lease,
  clockUs: () => bigint,
): { readonly lease: Lease; readonly trailers: () => Metadata } {
  let decidedUs = 0n;
  return {
    lease: {
      holds: (deviceId) => {
        const beforeUs = clockUs();
        const holds = lease.holds(deviceId);
        if (holds) decidedUs = beforeUs;
        return holds;
      },
      waitFor: (deadlineMs, deviceId) => lease.waitFor(deadlineMs, deviceId),
    },
    trailers: () => {
      const metadata = new Metadata();
      metadata.set(DECIDED_AT, String(decidedUs));
      return metadata;
    },
  };
}
