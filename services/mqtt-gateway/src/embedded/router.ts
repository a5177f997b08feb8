import type { Message } from './codec.ts';
import type { Delivery, Subscriptions } from './subscriptions.ts';
import { deviceOf, isPushed } from './topics.ts';

/** Who can be given messages. */
export type Recipient = {
  readonly subscriptions: Subscriptions;
  readonly deliver: (message: Message, delivery: Delivery) => void;
};

/**
 * Takes messages from their publisher to who may have them. Every topic is one device's, so a message has at most one
 * device to go to, and beyond it the few applications and gateways at the ingress.
 */
export class Router {
  readonly #devices = new Map<string, Recipient>();
  readonly #applications = new Set<Recipient>();

  /** A device is there; one of the same id that was there before gets nothing any more. */
  addDevice(deviceId: string, device: Recipient): void {
    this.#devices.set(deviceId, device);
  }

  /** A device's link ended. Does nothing when a newer one has its place. */
  removeDevice(deviceId: string, device: Recipient): void {
    if (this.#devices.get(deviceId) === device) this.#devices.delete(deviceId);
  }

  /** An application or a gateway is there. */
  addApplication(application: Recipient): void {
    this.#applications.add(application);
  }

  /** Its link ended. */
  removeApplication(application: Recipient): void {
    this.#applications.delete(application);
  }

  /** Delivers a message, to its publisher too if that asked for it. */
  publish(message: Message, from: Recipient): void {
    const levels = message.topic.split('/');
    const give = (recipient: Recipient, unasked?: Delivery) => {
      const delivery = recipient.subscriptions.match(levels, recipient === from) ?? unasked;
      if (delivery !== undefined) recipient.deliver(message, delivery);
    };
    const deviceId = deviceOf(message.topic);
    const device = deviceId === undefined ? undefined : this.#devices.get(deviceId);
    // A device does not get its own words back as the platform's.
    const pushed = device !== from && isPushed(message.topic);
    if (device !== undefined) give(device, pushed ? { qos: message.qos, identifiers: [] } : undefined);
    for (const application of this.#applications) give(application);
  }
}
