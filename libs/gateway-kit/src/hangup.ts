import type { Log } from '@latchkey/runtime';

/** What is read again: how the log names it, and how; undefined: there is nothing to read. */
export type Renewals = Readonly<Record<string, (() => void) | undefined>>;

/**
 * SIGHUP is the customary word for "read your files again". What throws then leaves all as it was, and the log says so. The
 * returned function takes the listener away.
 */
export function onHangup(renewals: Renewals, log: Log): () => void {
  const hear = () => {
    for (const [what, renew] of Object.entries(renewals)) {
      if (renew === undefined) continue;
      try {
        renew();
        log.info({}, `${what} was read again`);
      } catch (error) {
        log.error({ err: error }, `${what} stays as it was`);
      }
    }
  };
  process.on('SIGHUP', hear);
  return () => process.off('SIGHUP', hear);
}
