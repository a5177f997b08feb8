import type { Clock } from '@latchkey/kernel';
import { StoreUnavailable } from '@latchkey/store';
import { callHeartbeat } from './functions.ts';
import { HEARTBEAT_MS, type Hold, type ShardLease } from './lease.ts';
import type { Log } from './link.ts';
import type { Session } from './session.ts';

/** A replica whose wall clock stands further off from Redis' does not decide: times in proofs and deadlines need it. */
const MAX_CLOCK_GAP_MS = 60_000;

/** What a heart needs. */
export type HeartOptions = {
  readonly session: Session;
  /** Of the shards on the session's server. */
  readonly leases: readonly ShardLease[];
  /** This process, for the list of members. */
  readonly replica: string;
  readonly clock: Clock;
  readonly log: Log;
};

/**
 * Sends the heartbeats of one connection for all shards on its server, one call at a time, until the
 * connection ends or all leases are given up.
 */
export class Heart {
  readonly #options: HeartOptions;
  readonly #hold: Hold;
  #ended = false;
  #wake: (() => void) | undefined;
  #clockComplained = false;

  private constructor(options: HeartOptions, hold: Hold) {
    this.#options = options;
    this.#hold = hold;
  }

  /**
   * Begins on a connection that has just taken in all logs; `settlesFromMs` as in Hold. Rejects when the first heartbeat
   * does, or when the server does not answer for one of the shards.
   */
  static async start(options: HeartOptions, settlesFromMs: number): Promise<Heart> {
    const { session, leases, clock } = options;
    const heart = new Heart(options, { session, sinceMs: clock.monotonic(), settlesFromMs });
    for (const lease of leases) lease.begin(heart.#hold, () => heart.#wake?.());
    const refused = await heart.#beat(leases);
    if (refused !== undefined) throw new StoreUnavailable(`a shard cannot be served: ${refused}`);
    void session.ended.then(() => {
      heart.#ended = true;
      heart.#wake?.();
    });
    void heart.#keepBeating();
    return heart;
  }

  async #keepBeating(): Promise<void> {
    while (!this.#isOver()) {
      const due = await this.#due();
      if (this.#isOver()) return;
      await this.#beat(due).catch(() => {
        // The session has ended, or Redis refuses writes: no lease until it does not.
        for (const lease of due) lease.failed();
      });
    }
  }

  #isOver(): boolean {
    return this.#ended || this.#options.leases.every((lease) => lease.left);
  }

  /** Answers the first refusal of a shard; the others are served all the same. */
  async #beat(leases: readonly ShardLease[]): Promise<string | undefined> {
    const { session, replica, clock } = this.#options;
    // Before the heartbeat is sent: what it learns holds at some moment after these.
    const [sentMs, sentWallMs] = [clock.monotonic(), clock.now()];
    for (const lease of leases) lease.sends(sentMs);
    const reports = leases.map((lease) => lease.report);
    const { serverMs, pulses } = await callHeartbeat(session, replica, reports);
    const clockRight = this.#isClockRight(serverMs);
    let refused: string | undefined;
    for (const [index, lease] of leases.entries()) {
      const pulse = pulses[index] ?? 'no answer';
      if (typeof pulse !== 'string') lease.took(this.#hold, { sentMs, sentWallMs, clockRight }, pulse);
      else {
        refused ??= pulse;
        lease.failed();
      }
    }
    return refused;
  }

  /** Waits until some are due, and answers those; the others come along when they would be due soon. */
  async #due(): Promise<readonly ShardLease[]> {
    const { leases, clock } = this.#options;
    for (;;) {
      const nowMs = clock.monotonic();
      const leftMs = Math.min(...leases.map((lease) => lease.dueMs)) - nowMs;
      if (this.#isOver()) return [];
      if (leftMs <= 0) {
        const due = leases.filter((lease) => lease.dueMs <= nowMs);
        // In busy times a change is reported for its own shard alone, in quiet ones a call is for all.
        if (due.every((lease) => lease.isUrgent)) return due;
        return leases.filter((lease) => lease.dueMs <= nowMs + HEARTBEAT_MS / 2);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.ceil(leftMs));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
  }

  #isClockRight(serverMs: number): boolean {
    const { clock, log } = this.#options;
    const gapMs = Math.abs(clock.now() - serverMs);
    const right = gapMs <= MAX_CLOCK_GAP_MS;
    if (!right && !this.#clockComplained) {
      log('this clock is not that of Redis: nothing is decided until it is', { gapMs: Math.round(gapMs) });
    }
    this.#clockComplained = !right;
    return right;
  }
}
