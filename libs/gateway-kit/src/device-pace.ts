import { type Allowance, type DeviceId, isLeft, spendOne } from '@latchkey/kernel';
import { LRUCache } from 'lru-cache';

/** What the vendor allows a device (IoTDA, "Limitations"): 50 messages in a second. */
export const MESSAGES_A_SECOND: Allowance = { burst: 50, intervalMs: 20 };

/** Devices that are counted, each for a second at most; about 5 MB. One that is pushed out begins anew. */
const MAX_DEVICES = 50_000;

/** How much devices send where each message stands for itself: what is too much is refused, and nothing of others. */
export class DevicePace {
  readonly #allowance: Allowance;
  readonly #monotonic: () => number;
  readonly #wholeAtMs: LRUCache<DeviceId, number>;

  constructor(allowance: Allowance, monotonic: () => number, maxDevices = MAX_DEVICES) {
    this.#allowance = allowance;
    this.#monotonic = monotonic;
    this.#wholeAtMs = new LRUCache({ max: maxDevices });
  }

  /** Takes one message of the device; false: it sends too much. Call it for devices that are who they say, or others use it up. */
  take(deviceId: DeviceId): boolean {
    const nowMs = this.#monotonic();
    const wholeAtMs = this.#wholeAtMs.get(deviceId) ?? 0;
    if (!isLeft(wholeAtMs, nowMs, this.#allowance)) return false;
    this.#wholeAtMs.set(deviceId, spendOne(wholeAtMs, nowMs, this.#allowance));
    return true;
  }
}
