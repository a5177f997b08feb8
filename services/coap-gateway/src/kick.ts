import type { CloseCause, Session, SessionTable } from '@latchkey/gateway-kit';
import type { Log } from '@latchkey/runtime';

/** The longest span that a timer takes, 24.8 days: a grant that runs longer is renewed by the next handshake. */
const MAX_TIMER_MS = 2_147_483_647;

/** Makes what ends a session's link, and says so in the log. */
export function kickOf(close: () => void, deviceId: string, log: Log): Session['close'] {
  return (cause: CloseCause) => {
    log.info({ deviceId, cause }, 'session closed');
    close();
  };
}

/** Closes a session when its grant ends by itself; the returned function calls that off. */
export function expire(sessions: SessionTable, session: Session, remainingMs: number): () => void {
  const timer = setTimeout(
    () => sessions.close([session], 'EXPIRED'),
    Math.min(Math.max(remainingMs, 0), MAX_TIMER_MS),
  );
  return () => clearTimeout(timer);
}
