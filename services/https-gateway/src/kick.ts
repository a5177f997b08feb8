import type { CloseCause, Session } from '@latchkey/gateway-kit';
import type { Log } from '@latchkey/runtime';

/** A report that is under way, from its decision to its answer. */
export type OpenReport = {
  readonly session: Session;
  /** Aborted when the report must not be passed on any more, or nobody waits for its answer. */
  readonly signal: AbortSignal;
  /** Why it was ended from this side; undefined: it was not. */
  readonly kickedFor: () => CloseCause | undefined;
};

/**
 * The session of a report. HTTPS has none that lasts: each request is decided on anew, so a report under way is all that a
 * change can end. `gone` is aborted when its device has hung up.
 */
export function openReport(grant: Omit<Session, 'close'>, gone: AbortSignal, log: Log): OpenReport {
  const kicked = new AbortController();
  let kickedFor: CloseCause | undefined;
  const close = (cause: CloseCause) => {
    log.info({ deviceId: grant.deviceId, cause }, 'a report under way is refused');
    kickedFor = cause;
    kicked.abort();
  };
  return {
    session: { ...grant, close },
    signal: AbortSignal.any([gone, kicked.signal]),
    kickedFor: () => kickedFor,
  };
}
