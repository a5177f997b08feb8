import type { Lease } from '@latchkey/store';
import type { Link } from './link.ts';

/**
 * The lease of a single replica: it holds while the connection that brings the changes is up and has caught up. What is
 * not promised: with a second replica, or a connection that is silent without ending, a change may be heard too late;
 * that needs a lease that Redis confirms.
 */
export function connectionLease(control: Link): Lease {
  return {
    holds: () => control.session !== undefined,
    waitFor: async (deadlineMs) => {
      try {
        await control.ready(deadlineMs);
        return true;
      } catch {
        return false;
      }
    },
  };
}
