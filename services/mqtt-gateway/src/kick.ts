import type { CloseCause, Session, SessionTable } from '@latchkey/gateway-kit';
import type { Log } from '@latchkey/runtime';
import type { Client } from 'aedes';

/** The longest span that a timer takes, 24.8 days: a grant that runs longer is renewed by the reconnect. */
const MAX_TIMER_MS = 2_147_483_647;

/** Makes what ends a session's link: MQTT 3 has no DISCONNECT from the server, so the connection just closes. */
export function kickOf(client: Client, deviceId: string, log: Log): Session['close'] {
  return (cause: CloseCause) => {
    log.info({ deviceId, cause }, 'link closed');
    client.close();
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
