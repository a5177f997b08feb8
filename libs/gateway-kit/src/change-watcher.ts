import { setTimeout as wait } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { UnknownEnum } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import type { Clock, Random } from '@latchkey/kernel';
import {
  type Change,
  SessionEffect,
  type WatchChangesResponse,
  type WatchChangesResponse_Gap,
} from '@latchkey/protocol/v1';
import type { Log } from '@latchkey/runtime';
import { type AuthClient, statusOf } from './auth-client.ts';
import { Backoff } from './backoff.ts';
import type { GatewayMetrics } from './metrics.ts';
import type { RecentClosings } from './recent-closings.ts';
import { SessionCheck } from './session-check.ts';
import type { Session, SessionTable } from './sessions.ts';

/** Silence after which a replica is given up: a beat comes every second, so two may be late. */
const SILENCE_MS = 3_000;

/** What a watcher needs. */
export type ChangeWatcherOptions = {
  readonly auth: Pick<AuthClient, 'checkSessions' | 'watchChanges'>;
  readonly sessions: SessionTable;
  readonly closings: RecentClosings;
  readonly metrics: GatewayMetrics;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly silenceMs?: number;
};

/** Follows the changes of all devices and closes the sessions that they end; sessions stay open while it reconnects. */
export class ChangeWatcher {
  readonly #options: ChangeWatcherOptions;
  readonly #check: SessionCheck;
  readonly #backoff: Backoff;
  readonly #stop = new AbortController();
  #cursor = '';
  #following = false;
  #cursorRefused = false;

  constructor(options: ChangeWatcherOptions) {
    this.#options = options;
    this.#check = new SessionCheck(options);
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
    this.#run().catch((error: unknown) => {
      if (!this.#stop.signal.aborted) throw error;
    });
  }

  /** Ends the stream and every wait. */
  stop(): void {
    this.#stop.abort();
    this.#check.stop();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const why = await this.#follow();
      if (signal.aborted) return;
      if (why === 'INVALID_ARGUMENT') this.#forgetPlace();
      if (this.#following) this.#options.log.warn({ why }, 'changes are not followed any more; reconnecting');
      this.#setFollowing(false);
      await wait(this.#backoff.nextMs(), undefined, { signal });
    }
  }

  /** Follows one stream to its end and tells why it ended. */
  #follow(): Promise<string> {
    const { auth, silenceMs = SILENCE_MS } = this.#options;
    const { signal } = this.#stop;
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
    if (this.#cursorRefused) this.#doubt(() => true);
    this.#cursorRefused = false;
    if (event.case === 'change') this.#apply(event.value);
    else if (event.case === 'gap') this.#doubt(concernedBy(event.value));
    else if (event.case === undefined) this.#doubt(() => true); // an event of a later version: who knows what it ends
    this.#cursor = cursor;
  }

  /** The service cannot read the cursor (another version wrote it): begins from now, where all sessions are in doubt. */
  #forgetPlace(): void {
    this.#cursorRefused = this.#cursorRefused || this.placed;
    this.#cursor = '';
  }

  /** Remembers first and closes then, so that a session which registers between finds the closing. */
  #apply(change: Change): void {
    const { closings, sessions } = this.#options;
    const { deviceId, revision, credentialId } = change;
    switch (change.effect) {
      case SessionEffect.KEEP:
        break;
      case SessionEffect.CHECK_CERTIFICATES:
        this.#doubt(({ byCertificate }) => byCertificate);
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

  #doubt(concerns: (session: Session) => boolean): void {
    const { closings, log, sessions } = this.#options;
    closings.doubt(concerns);
    const doubtful = sessions.pick(concerns);
    log.info({ sessions: doubtful.length }, 'changes may have ended sessions; they are checked');
    this.#check.doubt(doubtful);
  }

  #setFollowing(following: boolean): void {
    this.#following = following;
    this.#options.metrics.following(following);
  }
}

function concernedBy({ shardCount, shards }: WatchChangesResponse_Gap): (session: Session) => boolean {
  if (shardCount === 0) return () => true;
  const lost = new Set(shards);
  return ({ deviceId }) => lost.has(crc32(deviceId) % shardCount);
}
