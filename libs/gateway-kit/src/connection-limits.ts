import { isIPv6 } from 'node:net';
import { type Allowance, isLeft, spendOne } from '@latchkey/kernel';
import { LRUCache } from 'lru-cache';
import type { Limits } from './limits.ts';
import type { LoopDelay } from './loop-delay.ts';
import type { GatewayMetrics } from './metrics.ts';

/** Sources without a connection whose new ones are still counted: each for seconds at most; about 2 MB. */
const MAX_IDLE_SOURCES = 10_000;

/** New connections of one source may come at once for so long a time of its rate: those of a site after a power cut. */
const BURST_S = 2;

/**
 * Why a connection is not taken in: the gateway is late already, has as many as it may have, has as many from this source,
 * or got too many new ones from it within a second.
 */
export type ConnectionRefusal = 'BUSY' | 'TOTAL' | 'SOURCE' | 'RATE';

/** What the limits need. */
export type ConnectionLimitsOptions = {
  readonly limits: Limits;
  readonly delay: Pick<LoopDelay, 'sustainedMs'>;
  readonly monotonic: () => number;
  readonly metrics: Pick<GatewayMetrics, 'connectionsOpen' | 'connectionRefused'>;
};

type Source = { open: number; wholeAtMs: number };

/**
 * Who may connect, before any byte of a connection is read: what is taken in should be served in time, and what cannot be
 * is refused while that costs nothing.
 */
export class ConnectionLimits {
  readonly #options: ConnectionLimitsOptions;
  readonly #rate: Allowance;
  // As many as there are connections at most.
  readonly #busy = new Map<string, Source>();
  readonly #idle = new LRUCache<string, Source>({ max: MAX_IDLE_SOURCES });
  #open = 0;

  constructor(options: ConnectionLimitsOptions) {
    const { sourceRate } = options.limits;
    this.#options = options;
    this.#rate = { burst: sourceRate * BURST_S, intervalMs: 1_000 / sourceRate };
  }

  /** Connections that are open. */
  get open(): number {
    return this.#open;
  }

  /**
   * Takes a connection in; gives the function that is to be called when it has closed. Undefined: it is to be closed at
   * once. `address` is the other end's, IPv4 or IPv6.
   */
  enter(address: string): (() => void) | undefined {
    const key = subnetOf(address);
    const source = this.#busy.get(key) ?? this.#idle.get(key) ?? { open: 0, wholeAtMs: 0 };
    const refusal = this.#refusal(source);
    if (refusal !== undefined) {
      this.#options.metrics.connectionRefused(refusal);
      return undefined;
    }
    source.wholeAtMs = spendOne(source.wholeAtMs, this.#options.monotonic(), this.#rate);
    source.open++;
    this.#count(1);
    this.#busy.set(key, source);
    this.#idle.delete(key);
    return () => this.#leave(key, source);
  }

  #count(more: 1 | -1): void {
    this.#open += more;
    this.#options.metrics.connectionsOpen(this.#open);
  }

  #refusal(source: Source): ConnectionRefusal | undefined {
    const { delay, limits, monotonic } = this.#options;
    if (limits.loopDelayMs > 0 && delay.sustainedMs > limits.loopDelayMs) return 'BUSY';
    if (this.#open >= limits.connections) return 'TOTAL';
    if (source.open >= limits.sourceConnections) return 'SOURCE';
    return isLeft(source.wholeAtMs, monotonic(), this.#rate) ? undefined : 'RATE';
  }

  #leave(key: string, source: Source): void {
    this.#count(-1);
    source.open--;
    if (source.open > 0) return;
    this.#busy.delete(key);
    if (source.wholeAtMs > this.#options.monotonic()) this.#idle.set(key, source);
  }
}

/** What stands for one subscriber of the Internet: an IPv4 address, or the first 64 bits of an IPv6 address. */
export function subnetOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=[0-9.]+$)/i, '');
  if (!isIPv6(plain)) return plain;
  const [head = '', tail] = plain.split('%', 1)[0]?.split('::') ?? [];
  const front = head === '' ? [] : head.split(':');
  if (tail === undefined) return `${front.slice(0, 4).join(':')}::/64`;
  const back = tail === '' ? [] : tail.split(':');
  const width = 8 - front.length - back.length - (tail.includes('.') ? 1 : 0);
  const groups = [...front, ...Array.from({ length: Math.max(width, 0) }, () => '0'), ...back];
  return `${groups.slice(0, 4).join(':')}::/64`;
}
