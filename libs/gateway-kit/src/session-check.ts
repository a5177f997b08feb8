import { setTimeout as wait } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import type { Random } from '@latchkey/kernel';
import { SessionStanding } from '@latchkey/protocol/v1';
import type { Log } from '@latchkey/runtime';
import type { AuthClient } from './auth-client.ts';
import { Backoff } from './backoff.ts';
import type { Session, SessionTable } from './sessions.ts';
import { statusOf } from './status.ts';

/** Sessions asked about at a time: what CheckSessions takes. */
const BATCH_SESSIONS = 1_000;

/** Attempts for one batch, over about 5 s: a service that restarts is back, one that stays away may not keep sessions in doubt. */
const MAX_ATTEMPTS = 5;

/** What a check needs. */
export type SessionCheckOptions = {
  readonly auth: Pick<AuthClient, 'checkSessions'>;
  readonly sessions: SessionTable;
  readonly random: Random;
  readonly log: Log;
  /** Whether nobody can answer about a session now: it is asked about apart from those that somebody can answer. */
  readonly hopeless: (session: Session) => boolean;
  /** What becomes of sessions about which no answer can be had: closed after a few attempts, or asked about until there is one. */
  readonly unanswered: 'CLOSE' | 'WAIT';
};

/**
 * Asks the auth service about sessions that lost changes may have ended, and closes those that may not stay. Those that
 * are closed for want of an answer come back and are decided on anew.
 */
export class SessionCheck {
  readonly #options: SessionCheckOptions;
  // A set, so that doubts which come while a check runs add no second question about a session.
  readonly #doubtful = new Set<Session>();
  readonly #stop = new AbortController();
  #running = false;
  /** Of the latest change of what is trusted: an answer from a replica that has not heard of it would be for good. */
  #trustRevision = 0n;

  constructor(options: SessionCheckOptions) {
    this.#options = options;
  }

  /** Puts sessions in doubt; they are asked about soon, of a replica that knows the change at `trustRevision`. */
  doubt(sessions: readonly Session[], trustRevision = 0n): void {
    if (trustRevision > this.#trustRevision) this.#trustRevision = trustRevision;
    for (const session of sessions) this.#doubtful.add(session);
    if (this.#running) return;
    this.#running = true;
    this.#drain().catch((error: unknown) => {
      if (!this.#stop.signal.aborted) this.#options.log.error({ err: error }, 'the check of sessions failed');
    });
  }

  /** Ends the check; what is in doubt stays open. */
  stop(): void {
    this.#stop.abort();
    this.#doubtful.clear();
  }

  async #drain(): Promise<void> {
    const { log, sessions, unanswered } = this.#options;
    try {
      while (this.#doubtful.size > 0) {
        const batch = this.#nextBatch();
        for (const session of batch) this.#doubtful.delete(session);
        const open = batch.filter((session) => sessions.has(session));
        const standings = open.length > 0 ? await this.#ask(open) : [];
        if (standings === 'UNSERVED' && unanswered === 'WAIT') continue;
        if (standings === 'UNANSWERED' && unanswered === 'WAIT') {
          for (const session of open) this.#doubtful.add(session); // behind those that came meanwhile
          continue;
        }
        if (typeof standings === 'string') {
          log.warn({ sessions: open.length }, 'sessions in doubt are closed: the auth service could not check them');
          sessions.close(open, 'UNCHECKED');
          continue;
        }
        const ended = open.filter((_, index) => standings[index] !== SessionStanding.GOOD);
        sessions.close(ended, 'CHECKED');
      }
    } finally {
      this.#running = false;
    }
  }

  /** One that cannot be answered would take the answers of all others in its batch along. */
  #nextBatch(): readonly Session[] {
    const { hopeless } = this.#options;
    const first = this.#doubtful.values().filter((session) => !hopeless(session));
    const batch = first.take(BATCH_SESSIONS).toArray();
    return batch.length > 0 ? batch : this.#doubtful.values().take(BATCH_SESSIONS).toArray();
  }

  /** UNANSWERED: no answer can be had now. UNSERVED: nor ever. */
  async #ask(sessions: readonly Session[]): Promise<readonly SessionStanding[] | 'UNANSWERED' | 'UNSERVED'> {
    const { auth, random } = this.#options;
    const backoff = new Backoff(random);
    for (let attempt = 1; ; attempt++) {
      try {
        return await auth.checkSessions(sessions, this.#trustRevision);
      } catch (error) {
        if (statusOf(error) === status.UNIMPLEMENTED) return 'UNSERVED';
        if (attempt >= MAX_ATTEMPTS) return 'UNANSWERED';
        await wait(backoff.nextMs(), undefined, { signal: this.#stop.signal });
      }
    }
  }
}
