import type { Clock } from '@latchkey/kernel';
import type { ChangeFeed } from './feed.ts';
import type { Pulse } from './functions.ts';
import type { ShardKeys } from './keys.ts';
import { REPLY_DEADLINE_MS, type Session } from './session.ts';

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
export const HEARTBEAT_MS = 200;

/** Shortest pause between heartbeats: changes that come together are reported together. */
const REPORT_GAP_MS = 2;

/** Longest pause between heartbeats while a write waits for the others. */
const WAITING_GAP_MS = 24;

/** Writes that may wait for the others at once; more wait the full time, which needs no record. */
const MAX_WAITERS = 100_000;

/** What the lease of a shard tells of itself. */
export type LeaseFigures = {
  heartbeats: number;
  failedHeartbeats: number;
  /** Waits for the lease that ended without it. */
  failedWaits: number;
  /** Writes that every member had taken in before the full wait was over. */
  settledEarly: number;
  settledFull: number;
  /** How long the last write waited until it was settled, milliseconds. */
  lastSettleMs: number;
  evicted: number;
};

/** What the lease of a shard works with. */
export type ShardLeaseOptions = {
  readonly keys: ShardKeys;
  readonly feed: ChangeFeed;
  readonly clock: Clock;
  /** A write was not taken in by all members in time. */
  readonly onLaggard: (position: number) => void;
};

/** A connection that has taken in all of a shard's log, on the monotonic clock. */
export type Hold = {
  readonly session: Session;
  readonly sinceMs: number;
  /** Nothing written on it is settled before: until then a server that this one replaced may still grant leases. */
  readonly settlesFromMs: number;
};

/** When a heartbeat was sent, on both clocks, and whether this wall clock is near that of its server. */
export type Beat = { readonly sentMs: number; readonly sentWallMs: number; readonly clockRight: boolean };

type Waiter = {
  readonly position: number;
  readonly sinceMs: number;
  readonly on: Hold;
  readonly done: () => void;
};

/**
 * The right of one replica to decide on the devices of one shard from memory. A heartbeat that was sent at t and shows
 * that all of the log was taken in gives the right until t + SERVE_MS; a write answers when every member has reported it,
 * or after WAIT_MS, when the right of those that have not has ended.
 */
export class ShardLease {
  readonly figures: LeaseFigures = {
    heartbeats: 0,
    failedHeartbeats: 0,
    failedWaits: 0,
    settledEarly: 0,
    settledFull: 0,
    lastSettleMs: 0,
    evicted: 0,
  };
  readonly #options: ShardLeaseOptions;
  readonly #waiters = new Set<Waiter>();
  readonly #hopeful = new Set<() => void>();
  #hold: Hold | undefined;
  #wake: () => void = () => {};
  #untilMs = Number.NEGATIVE_INFINITY;
  #wallFromMs = 0;
  #wallUntilMs = 0;
  #sentMs = Number.NEGATIVE_INFINITY;
  #behindSinceMs: number | undefined;
  #kicked = false;
  /** Heartbeats in a row that have not let a waiting write go. */
  #fruitless = 0;
  #left = false;

  constructor(options: ShardLeaseOptions) {
    this.#options = options;
    options.feed.listen({ changed: () => this.#kick(), lost: () => this.#kick() });
  }

  /** What a heartbeat reports of this shard. */
  get report() {
    const { keys, feed } = this.#options;
    return { keys, place: feed.place };
  }

  /** Both clocks are read anew each time: a timer, or a time read before, can be older than a stop of the process. */
  holds(): boolean {
    const { clock } = this.#options;
    const wallMs = clock.now();
    return clock.monotonic() < this.#untilMs && wallMs >= this.#wallFromMs && wallMs < this.#wallUntilMs;
  }

  /** Waits until it holds, at most `deadlineMs`; false: it does not. */
  async waitFor(deadlineMs: number): Promise<boolean> {
    const { clock } = this.#options;
    const endMs = clock.monotonic() + deadlineMs;
    while (!this.holds()) {
      const leftMs = endMs - clock.monotonic();
      if (leftMs <= 0 || this.#left) {
        this.figures.failedWaits += 1;
        return false;
      }
      this.#kick();
      await this.#hope(leftMs);
    }
    return true;
  }

  /** Goes on with another connection; `wake` is called when a heartbeat is due sooner than it was. */
  begin(hold: Hold, wake: () => void): void {
    this.#hold = hold;
    this.#wake = wake;
    this.#behindSinceMs = undefined;
  }

  /** Decides no more. */
  leave(): void {
    this.#left = true;
    this.#untilMs = Number.NEGATIVE_INFINITY;
    this.#hold = undefined;
    for (const hope of this.#hopeful) hope();
    this.#wake();
  }

  /** It decides no more, and needs no heartbeats. */
  get left(): boolean {
    return this.#left;
  }

  /**
   * Waits until no replica decides on anything older than this position. Only a heartbeat counts that was sent after
   * this call on the same connection; and none does in the first WAIT_MS of a connection, because Redis may have lost
   * the list of members when it went away.
   */
  settled(position: number): Promise<void> {
    const { clock, onLaggard } = this.#options;
    const on = this.#hold;
    const sinceMs = clock.monotonic();
    const endMs = Math.max(sinceMs + WAIT_MS, on?.settlesFromMs ?? 0);
    const isOld = on !== undefined && sinceMs > Math.max(on.sinceMs + WAIT_MS, on.settlesFromMs);
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
        const leftMs = endMs - clock.monotonic();
        if (leftMs > 0) {
          timer = setTimeout(full, Math.ceil(leftMs));
          return;
        }
        this.figures.settledFull += 1;
        onLaggard(position);
        done();
      };
      full();
      if (!isOld || this.#waiters.size >= MAX_WAITERS) return;
      const early = () => {
        this.figures.settledEarly += 1;
        done();
      };
      waiter = { position, sinceMs, on, done: early };
      this.#waiters.add(waiter);
      this.#kick();
    });
  }

  /** Something waits for the next heartbeat. */
  get isUrgent(): boolean {
    return this.#kicked || this.#waiters.size > 0;
  }

  /** When the next heartbeat for this shard is due, on the monotonic clock. */
  get dueMs(): number {
    if (this.#left) return Number.POSITIVE_INFINITY;
    const waitingGapMs = Math.min(WAITING_GAP_MS, REPORT_GAP_MS * this.#fruitless);
    const gapMs = this.#kicked ? REPORT_GAP_MS : this.#waiters.size > 0 ? waitingGapMs : HEARTBEAT_MS;
    return this.#sentMs + gapMs;
  }

  /** A heartbeat is about to be sent. */
  sends(sentMs: number): void {
    this.#sentMs = sentMs;
    this.#kicked = false;
    this.#fruitless = this.#waiters.size > 0 ? this.#fruitless + 1 : 0;
  }

  /** A heartbeat failed: what it was to give is not given. */
  failed(): void {
    this.figures.failedHeartbeats += 1;
  }

  /** Takes in what a heartbeat on this connection has learned. */
  took(hold: Hold, beat: Beat, pulse: Pulse): void {
    if (this.#hold !== hold) return;
    this.figures.heartbeats += 1;
    if (!pulse.known) {
      hold.session.end('the log does not show what was taken in');
      return;
    }
    if (this.#options.feed.place.position < pulse.end.position) this.#isBehind(hold, beat.sentMs);
    else this.#renew(beat);
    for (const waiter of this.#waiters) {
      if (waiter.on === hold && beat.sentMs > waiter.sinceMs && pulse.floor >= waiter.position) waiter.done();
    }
  }

  #renew({ sentMs, sentWallMs, clockRight }: Beat): void {
    this.#behindSinceMs = undefined;
    if (!clockRight) return;
    this.#untilMs = sentMs + SERVE_MS;
    this.#wallFromMs = sentWallMs;
    this.#wallUntilMs = sentWallMs + SERVE_MS;
    for (const hope of this.#hopeful) hope();
  }

  /** What was pushed comes before the reply on the same connection; if it does not come at all, the log must tell. */
  #isBehind(hold: Hold, nowMs: number): void {
    this.#behindSinceMs ??= nowMs;
    this.#kicked = true;
    if (nowMs - this.#behindSinceMs > REPLY_DEADLINE_MS) hold.session.end('the messages of changes do not come');
  }

  #kick(): void {
    this.#kicked = true;
    this.#wake();
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
