import { randomUUID } from 'node:crypto';
import type { Clock } from '@latchkey/kernel';
import type { Lease } from '@latchkey/store';
import type { ChangeFeed } from './feed.ts';
import { callHeartbeat, callLeave } from './functions.ts';
import type { Log } from './link.ts';
import type { Session } from './session.ts';

/**
 * How long a heartbeat lets a replica decide, from the moment it was sent. Short, because a reset waits for it when a
 * replica is gone; long enough for three heartbeats to be lost.
 */
export const SERVE_MS = 800;

/**
 * How long a write waits for a replica that does not report: longer than SERVE_MS by more than two clocks on Linux can
 * drift apart (NTP slews by at most 10 % each way: 1.1 / 0.9 = 1.22).
 */
export const WAIT_MS = 1_000;

/** Pause between heartbeats when nothing happens: a quarter of SERVE_MS. */
const HEARTBEAT_MS = 200;

/** Shortest pause between heartbeats: changes that come together are reported together. */
const REPORT_GAP_MS = 2;

/** Longest pause between heartbeats while a write waits for the others. */
const WAITING_GAP_MS = 24;

/** A replica whose wall clock stands further off from Redis' does not decide: times in proofs and deadlines need it. */
const MAX_CLOCK_GAP_MS = 60_000;

/** Writes that may wait for the others at once; more wait the full time, which needs no record. */
const MAX_WAITERS = 100_000;

/** What the lease tells of itself. */
export type LeaseFigures = {
  /** The last entry of the log that was taken in. */
  position: number;
  heartbeats: number;
  failedHeartbeats: number;
  /** Writes that every member had taken in before the full wait was over. */
  settledEarly: number;
  settledFull: number;
  /** The longest of late that all members took to take in a write, milliseconds. */
  lastSettleMs: number;
  evicted: number;
};

/** What the lease works with. */
export type HeartbeatLeaseOptions = {
  readonly feed: ChangeFeed;
  readonly clock: Clock;
  readonly log: Log;
  /** A write was not taken in by all members in time. */
  readonly onLaggard: (position: number) => void;
};

type Connection = { readonly session: Session; readonly sinceMs: number };
type Waiter = {
  readonly position: number;
  readonly sinceMs: number;
  readonly on: Connection;
  readonly done: () => void;
};

/**
 * The right of one replica to decide from memory. A heartbeat that was sent at t and shows that all of the log was taken
 * in gives the right until t + SERVE_MS; a write answers when every member has reported it, or after WAIT_MS, when the
 * right of those that have not has ended. docs/adr/0008 has the proof.
 */
export class HeartbeatLease implements Lease {
  /** Drawn anew for every process: an earlier life of this replica is another member. */
  readonly replica = randomUUID();
  readonly figures: LeaseFigures = {
    position: 0,
    heartbeats: 0,
    failedHeartbeats: 0,
    settledEarly: 0,
    settledFull: 0,
    lastSettleMs: 0,
    evicted: 0,
  };
  readonly #options: HeartbeatLeaseOptions;
  readonly #waiters = new Set<Waiter>();
  readonly #hopeful = new Set<() => void>();
  #connection: Connection | undefined;
  #untilMs = Number.NEGATIVE_INFINITY;
  #wallFromMs = 0;
  #wallUntilMs = 0;
  #wake: (() => void) | undefined;
  #kicked = false;
  #left = false;
  #clockComplained = false;

  constructor(options: HeartbeatLeaseOptions) {
    this.#options = options;
    options.feed.listen({ changed: () => this.#kick(), lost: () => this.#kick() });
  }

  /** Both clocks are read anew each time: a timer, or a time read before, can be older than a stop of the process. */
  holds(): boolean {
    const { clock } = this.#options;
    const wallMs = clock.now();
    return clock.monotonic() < this.#untilMs && wallMs >= this.#wallFromMs && wallMs < this.#wallUntilMs;
  }

  async waitFor(deadlineMs: number): Promise<boolean> {
    const { clock } = this.#options;
    const endMs = clock.monotonic() + deadlineMs;
    while (!this.holds()) {
      const leftMs = endMs - clock.monotonic();
      if (leftMs <= 0 || this.#left) return false;
      this.#kick();
      await this.#hope(leftMs);
    }
    return true;
  }

  /** Goes on a connection that has just taken in all of the log. Rejects when its first heartbeat does. */
  async begin(session: Session): Promise<void> {
    const connection = { session, sinceMs: this.#options.clock.monotonic() };
    this.#connection = connection;
    await this.#beat(connection);
    void this.#keepBeating(connection);
  }

  /**
   * Waits until no replica decides on anything older than this position. Only a heartbeat counts that was sent after
   * this call on the same connection; and none does in the first WAIT_MS of a connection, because Redis may have lost
   * the list of members when it went away.
   */
  settled(position: number): Promise<void> {
    const { clock, onLaggard } = this.#options;
    const on = this.#connection;
    const sinceMs = clock.monotonic();
    const mayBeEarly = on !== undefined && sinceMs - on.sinceMs > WAIT_MS && this.#waiters.size < MAX_WAITERS;
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      let waiter: Waiter | undefined;
      const done = () => {
        clearTimeout(timer);
        if (waiter !== undefined) this.#waiters.delete(waiter);
        this.figures.lastSettleMs = clock.monotonic() - sinceMs;
        resolve();
      };
      const full = () => {
        // A timer may fire early; the monotonic clock decides.
        const leftMs = sinceMs + WAIT_MS - clock.monotonic();
        if (leftMs > 0) {
          timer = setTimeout(full, Math.ceil(leftMs));
          return;
        }
        this.figures.settledFull += 1;
        onLaggard(position);
        done();
      };
      full();
      if (!mayBeEarly) return;
      waiter = {
        position,
        sinceMs,
        on,
        done: () => {
          this.figures.settledEarly += 1;
          done();
        },
      };
      this.#waiters.add(waiter);
      this.#kick();
    });
  }

  /** Decides no more, and lets nobody wait for this replica. */
  async leave(): Promise<void> {
    this.#left = true;
    this.#untilMs = Number.NEGATIVE_INFINITY;
    const connection = this.#connection;
    this.#connection = undefined;
    this.#wake?.();
    if (connection !== undefined) await callLeave(connection.session, this.replica);
  }

  async #keepBeating(connection: Connection): Promise<void> {
    let ended = false;
    void connection.session.ended.then(() => {
      ended = true;
      this.#wake?.();
    });
    for (let quiet = 0; !ended && this.#connection === connection; ) {
      quiet = this.#waiters.size > 0 ? quiet + 1 : 0;
      await this.#pause(quiet, () => ended);
      if (ended || this.#connection !== connection) return;
      try {
        await this.#beat(connection);
      } catch {
        this.figures.failedHeartbeats += 1; // the session has ended, or Redis refuses writes: no lease until it does not
      }
    }
  }

  async #beat(connection: Connection): Promise<void> {
    const { clock, feed } = this.#options;
    this.#kicked = false;
    // Before the heartbeat is sent: what it learns holds at some moment after these.
    const sentMs = clock.monotonic();
    const sentWallMs = clock.now();
    const { known, floor, end, serverMs } = await callHeartbeat(connection.session, this.replica, feed.place);
    if (this.#connection !== connection) return;
    this.figures.heartbeats += 1;
    this.figures.position = feed.place.position;
    if (!known) {
      connection.session.end('the log does not show what was taken in');
      return;
    }
    if (this.#isClockRight(serverMs) && feed.place.position >= end.position) {
      this.#untilMs = sentMs + SERVE_MS;
      this.#wallFromMs = sentWallMs;
      this.#wallUntilMs = sentWallMs + SERVE_MS;
      for (const hope of this.#hopeful) hope();
    } else {
      this.#kicked = true;
    }
    for (const waiter of this.#waiters) {
      if (waiter.on === connection && sentMs >= waiter.sinceMs && floor >= waiter.position) waiter.done();
    }
  }

  #isClockRight(serverMs: number): boolean {
    const gapMs = Math.abs(this.#options.clock.now() - serverMs);
    const right = gapMs <= MAX_CLOCK_GAP_MS;
    if (!right && !this.#clockComplained) {
      this.#options.log('this clock is not that of Redis: nothing is decided until it is', {
        gapMs: Math.round(gapMs),
      });
    }
    this.#clockComplained = !right;
    return right;
  }

  #kick(): void {
    this.#kicked = true;
    this.#wake?.();
  }

  /** Until the next heartbeat is due; a kick makes it due after the shortest pause. */
  async #pause(quiet: number, isOver: () => boolean): Promise<void> {
    const { clock } = this.#options;
    const begunMs = clock.monotonic();
    for (;;) {
      const waitingGapMs = Math.min(WAITING_GAP_MS, REPORT_GAP_MS * quiet);
      const gapMs = this.#kicked ? REPORT_GAP_MS : this.#waiters.size > 0 ? waitingGapMs : HEARTBEAT_MS;
      const leftMs = begunMs + gapMs - clock.monotonic();
      if (leftMs <= 0 || isOver()) return;
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

  #hope(deadlineMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#hopeful.delete(done);
        resolve();
      };
      const timer = setTimeout(done, Math.ceil(deadlineMs));
      this.#hopeful.add(done);
    });
  }
}
