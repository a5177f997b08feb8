import { setTimeout as wait } from 'node:timers/promises';
import type { UnknownEnum } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import type { Clock, Random } from '@latchkey/kernel';
import {
  type Change,
  SessionEffect,
  type WatchChangesResponse,
  type WatchChangesResponse_PartialBeat,
} from '@latchkey/protocol/v1';
import type { Log } from '@latchkey/runtime';
import type { AuthClient } from './auth-client.ts';
import { Backoff } from './backoff.ts';
import type { GatewayMetrics } from './metrics.ts';
import type { RecentClosings } from './recent-closings.ts';
import { SessionCheck } from './session-check.ts';
import type { Session, SessionTable } from './sessions.ts';
import { concernedBy, SilentLogs } from './silent-logs.ts';
import { statusOf } from './status.ts';

/** Silence after which a replica is given up: a beat comes every second, so two may be late. */
const SILENCE_MS = 3_000;

/** How often it is looked whether a doubt has become old enough for its second check. */
const OVERDUE_INTERVAL_MS = 1_000;

/** What a watcher needs. */
export type ChangeWatcherOptions = {
  readonly auth: Pick<AuthClient, 'checkSessions' | 'watchChanges' | 'servesElsewhere'>;
  readonly sessions: SessionTable;
  readonly closings: RecentClosings;
  readonly metrics: GatewayMetrics;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly silenceMs?: number;
};

/**
 * Follows the changes of all devices and closes the sessions that they end; sessions stay open while it goes on to another
 * replica. The verdicts come from any replica, which may be ahead of the one that is followed: then the change is heard
 * of later, and spares what was granted after it. Or it may be behind, as long as its lease lasts: see RecentClosings.
 */
export class ChangeWatcher {
  readonly #options: ChangeWatcherOptions;
  readonly #check: SessionCheck;
  readonly #secondCheck: SessionCheck;
  readonly #backoff: Backoff;
  readonly #silent: SilentLogs;
  readonly #stop = new AbortController();
  #cursor = '';
  #following = false;
  #overdue: NodeJS.Timeout | undefined;

  constructor(options: ChangeWatcherOptions) {
    this.#options = options;
    this.#silent = new SilentLogs(options.clock.monotonic);
    const hopeless = this.#silent.concern;
    this.#check = new SessionCheck({ ...options, hopeless, unanswered: 'CLOSE' });
    // It is about the rare session only, so it ends none for want of an answer.
    this.#secondCheck = new SessionCheck({ ...options, hopeless, unanswered: 'WAIT' });
    this.#backoff = new Backoff(options.random);
  }

  /**
   * Whether the watcher has a place in the log, from which no change is missed. Without one no session may open: the
   * change that ends it might never be heard of.
   */
  get placed(): boolean {
    return this.#cursor !== '';
  }

  /** Follows until `stop`. Returns at once. */
  start(): void {
    this.#overdue = setInterval(() => this.#checkOverdue(), OVERDUE_INTERVAL_MS);
    this.#run().catch((error: unknown) => {
      if (!this.#stop.signal.aborted) throw error;
    });
  }

  /** Ends the stream and every wait. */
  stop(): void {
    this.#stop.abort();
    clearInterval(this.#overdue);
    this.#check.stop();
    this.#secondCheck.stop();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const why = await this.#follow();
      if (signal.aborted) return;
      if (why === 'INVALID_ARGUMENT') this.#cursor = ''; // another version wrote it
      if (this.#following) this.#options.log.warn({ why }, 'changes are not followed any more; reconnecting');
      this.#setFollowing(false);
      await wait(this.#backoff.nextMs(), undefined, { signal });
    }
  }

  /** Follows one stream to its end and tells why it ended. */
  #follow(): Promise<string> {
    const { auth, silenceMs = SILENCE_MS } = this.#options;
    const { signal } = this.#stop;
    this.#silent.startAnew();
    return new Promise((resolve) => {
      const stream = auth.watchChanges(this.#cursor);
      const end = (why: string) => {
        clearTimeout(silence);
        signal.removeEventListener('abort', stopped);
        stream.removeAllListeners('data');
        stream.cancel();
        resolve(why);
      };
      const stopped = () => end('STOPPED');
      const silence = setTimeout(end, silenceMs, 'SILENCE');
      signal.addEventListener('abort', stopped, { once: true });
      stream.on('data', (message: WatchChangesResponse) => {
        silence.refresh();
        this.#take(message);
        // Who hears all of the log is better; while nobody does, this one tells of what it hears.
        if (this.#silent.lastFor(silenceMs) && auth.servesElsewhere()) end('SILENT_LOGS');
      });
      // It stays after the end: a stream that is cancelled ends with an error of its own.
      stream.on('error', (error) => end(status[statusOf(error) ?? status.UNKNOWN] ?? 'UNKNOWN'));
      stream.on('end', () => end('ENDED'));
    });
  }

  #take({ cursor, event }: WatchChangesResponse): void {
    this.#options.metrics.heard(this.#options.clock.monotonic());
    if (!this.#following) {
      this.#options.log.info({}, 'changes are followed');
      this.#setFollowing(true);
      this.#backoff.reset();
    }
    if (!this.placed) this.#doubt(() => true); // what was before this place is unknown, and a replica may be behind it
    if (event.case === 'change') this.#apply(event.value);
    else if (event.case === 'gap') this.#doubt(concernedBy(event.value.shardCount, event.value.shards));
    else if (event.case === 'beat') this.#noteSilence(undefined);
    else if (event.case === 'partialBeat') this.#noteSilence(event.value);
    else if (event.case === undefined) this.#doubt(() => true); // an event of a later version: who knows what it ends
    this.#cursor = cursor;
  }

  /** Remembers first and closes then, so that a session which registers between finds the closing. */
  #apply(change: Change): void {
    const { closings, sessions } = this.#options;
    const { deviceId, revision, credentialId } = change;
    switch (change.effect) {
      case SessionEffect.KEEP:
        break;
      case SessionEffect.CHECK_CERTIFICATES:
        this.#doubt(({ byCertificate }) => byCertificate, revision);
        break;
      case SessionEffect.CLOSE_CREDENTIAL:
        closings.closeCredential(credentialId);
        sessions.close(
          sessions.ofDevice(deviceId).filter((session) => session.credentialId === credentialId),
          'CREDENTIAL',
        );
        break;
      case SessionEffect.CLOSE_DEVICE:
      case SessionEffect.UNSPECIFIED:
        this.#closeDevice(deviceId, revision);
        break;
      default:
        change.effect satisfies UnknownEnum;
        this.#closeDevice(deviceId, revision); // an effect of a later version: the safe side is to close
    }
  }

  #closeDevice(deviceId: string, revision: bigint): void {
    const { closings, sessions } = this.#options;
    closings.closeDevice(deviceId, revision);
    sessions.close(
      sessions.ofDevice(deviceId).filter((session) => session.revision < revision),
      'DEVICE',
    );
  }

  #doubt(concerns: (session: Session) => boolean, trustRevision?: bigint): void {
    const { closings, log, sessions } = this.#options;
    closings.doubt(concerns);
    const doubtful = sessions.pick(concerns);
    if (doubtful.length === 0) return;
    log.info({ sessions: doubtful.length }, 'changes may have ended sessions; they are checked');
    this.#check.doubt(doubtful, trustRevision);
  }

  /** Sessions of silent logs stay, as all do while there is no stream: the cursor brings what ends them. */
  #noteSilence(beat: WatchChangesResponse_PartialBeat | undefined): void {
    const before = this.#silent.count;
    this.#silent.note(beat);
    const { count } = this.#silent;
    this.#options.metrics.silentLogs(count);
    if (count === before) return;
    if (count > 0) this.#options.log.warn({ logs: count }, 'changes of some logs cannot be followed');
    else this.#options.log.info({}, 'changes of all logs are followed');
  }

  #checkOverdue(): void {
    const { closings, sessions } = this.#options;
    const concerns = closings.overdue();
    if (concerns !== undefined) this.#secondCheck.doubt(sessions.pick(concerns));
  }

  #setFollowing(following: boolean): void {
    this.#following = following;
    this.#options.metrics.following(following);
  }
}
