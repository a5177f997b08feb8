import type { Downlink } from './mailbox.ts';

/** A session whose device takes what is sent to it. */
export type Receiver = {
  readonly receive: (downlink: Downlink) => void;
  /** Another session of the device takes it from now on. */
  readonly replaced: () => void;
};

/** Which session takes what is sent to a device: the last one that asked for it. Its bound is that of the sessions. */
export class Receivers {
  readonly #byDevice = new Map<string, Receiver>();

  /** Devices that something can be sent to. */
  get size(): number {
    return this.#byDevice.size;
  }

  /** From now on this one is the device's. */
  enter(deviceId: string, receiver: Receiver): void {
    const before = this.#byDevice.get(deviceId);
    this.#byDevice.set(deviceId, receiver);
    if (before !== undefined && before !== receiver) before.replaced();
  }

  /** It takes nothing more. Does nothing when another one is the device's. */
  leave(deviceId: string, receiver: Receiver): void {
    if (this.#byDevice.get(deviceId) === receiver) this.#byDevice.delete(deviceId);
  }

  /** The device's; undefined: it has none here. */
  of(deviceId: string): Receiver | undefined {
    return this.#byDevice.get(deviceId);
  }
}
