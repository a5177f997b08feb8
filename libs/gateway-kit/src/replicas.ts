import { status } from '@grpc/grpc-js';
import type { Clock, Random } from '@latchkey/kernel';
import { type Address, formatAddress, type Log } from '@latchkey/runtime';
import type { GatewayMetrics } from './metrics.ts';
import { Replica } from './replica.ts';
import { Spread, type SpreadOptions } from './spread.ts';
import { statusOf } from './status.ts';

/** The part of a question's time that the first replica gets while another one could be asked: enough to wait for its lease. */
const FIRST_SHARE = 0.5;

/** What the replicas need. */
export type ReplicasOptions = {
  /** One or more; of one auth service, over the same store. Several processes may share one. */
  readonly addresses: readonly Address[];
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Pick<GatewayMetrics, 'replicasUsable' | 'askedAgain'>;
  readonly log: Log;
};

/** One call of one replica, which rejects with a ServiceError. */
export type Call<T> = (replica: Replica, deadlineMs: number) => Promise<T>;

/** The replicas of the auth service, and who of them is asked. */
export class Replicas {
  readonly #options: ReplicasOptions;
  readonly #spreads: readonly Spread[];
  #replicas: readonly Replica[] = [];
  #turn: number;
  #followed: Replica | undefined;

  constructor(options: ReplicasOptions) {
    const { addresses, clock, random } = options;
    if (addresses.length === 0) throw new Error('there is no replica to ask');
    this.#options = options;
    // Gateways that start together do not all begin with the same one.
    this.#turn = Buffer.from(random(2)).readUInt16LE();
    const changed = () => this.#gather();
    this.#spreads = addresses.map((address) => {
      const connect = this.#connector(formatAddress(address));
      return new Spread({ connect, random, monotonic: clock.monotonic, changed });
    });
    this.#gather();
  }

  /**
   * Asks the replica that has the least to do, and once more another one if that cannot answer, or not in time. With none
   * that is usable, any is asked, once: better a question in vain than a device refused for a stale suspicion.
   */
  async ask<T>(deadlineMs: number, call: Call<T>): Promise<T> {
    const { clock, metrics } = this.#options;
    const endsAtMs = clock.monotonic() + deadlineMs;
    const first = this.#leastBusy(this.#usable) ?? this.#leastBusy(this.#replicas);
    if (first === undefined) throw new Error('there is no replica to ask');
    const hasOther = this.#usableBut(first).length > 0;
    try {
      return await counted(first, hasOther ? deadlineMs * FIRST_SHARE : deadlineMs, call);
    } catch (error) {
      const second = this.#leastBusy(this.#usableBut(first));
      const leftMs = endsAtMs - clock.monotonic();
      if (!cannotAnswer(error) || second === undefined || leftMs <= 0) throw error;
      metrics.askedAgain();
      return await counted(second, leftMs, call);
    }
  }

  /** The replica to follow the changes at: another one than last time, where there is one. */
  nextToFollow(): Replica {
    const last = this.#followed;
    const others = this.#replicas.filter((replica) => replica !== last);
    const next = this.#inTurn(this.#usableBut(last)) ?? this.#inTurn(others) ?? last;
    if (next === undefined) throw new Error('there is no replica to follow');
    this.#followed = next;
    return next;
  }

  /** Whether there is a usable replica besides the one that is followed. */
  get hasOtherToFollow(): boolean {
    return this.#usableBut(this.#followed).length > 0;
  }

  /** Ends every call that is open. */
  close(): void {
    for (const spread of this.#spreads) spread.close();
  }

  /** Connects to an address as often as it is told to. */
  #connector(target: string): SpreadOptions['connect'] {
    const { clock, random } = this.#options;
    const changed = (replica: Replica) => this.#note(replica);
    let count = 0;
    return (reached) => {
      count += 1;
      const name = count === 1 ? target : `${target} #${count}`;
      const replica = new Replica({ target, name, clock, random, changed, reached });
      replica.start();
      return replica;
    };
  }

  #gather(): void {
    this.#replicas = this.#spreads.flatMap(({ replicas }) => replicas);
    this.#options.metrics.replicasUsable(this.#usable.length);
  }

  #note(replica: Replica): void {
    // One that is tried out, or on its way out, is none of those that are asked.
    if (!this.#replicas.includes(replica)) return;
    const { metrics, log } = this.#options;
    metrics.replicasUsable(this.#usable.length);
    if (replica.usable) log.info({ replica: replica.name }, 'the auth replica serves');
    else log.warn({ replica: replica.name }, 'the auth replica is passed over until it serves again');
  }

  get #usable(): readonly Replica[] {
    return this.#replicas.filter(({ usable }) => usable);
  }

  #usableBut(other: Replica | undefined): readonly Replica[] {
    return this.#usable.filter((replica) => replica !== other);
  }

  #inTurn(replicas: readonly Replica[]): Replica | undefined {
    return replicas[this.#turn++ % replicas.length];
  }

  /** Among equals they take turns. */
  #leastBusy(replicas: readonly Replica[]): Replica | undefined {
    const least = Math.min(...replicas.map(({ inFlight }) => inFlight));
    return this.#inTurn(replicas.filter(({ inFlight }) => inFlight === least));
  }
}

async function counted<T>(replica: Replica, deadlineMs: number, call: Call<T>): Promise<T> {
  replica.inFlight++;
  try {
    return await call(replica, deadlineMs);
  } catch (error) {
    if (cannotAnswer(error)) replica.passOver();
    throw error;
  } finally {
    replica.inFlight--;
  }
}

/** The replica is away, has no lease, or is late. Any other error would be the same at another one. */
function cannotAnswer(error: unknown): boolean {
  const code = statusOf(error);
  return code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED;
}
