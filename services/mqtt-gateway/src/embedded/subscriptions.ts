import { matches } from './topics.ts';

/** What was asked for with a filter. */
export type Subscription = {
  readonly qos: 0 | 1;
  /** MQTT 5: not what the subscriber published itself [MQTT-3.8.3-3]. */
  readonly noLocal: boolean;
  /** MQTT 5: comes back with each message [MQTT-3.3.4-3]. */
  readonly identifier: number | undefined;
};

/** How a subscriber gets a message: once, at the best of the matching subscriptions [MQTT-3.3.5-1], with all identifiers. */
export type Delivery = { readonly qos: 0 | 1; readonly identifiers: readonly number[] };

/** The subscriptions of one link, by filter. */
export class Subscriptions {
  readonly #maxFilters: number;
  readonly #byFilter = new Map<string, Subscription & { readonly levels: readonly string[] }>();

  constructor(maxFilters: number) {
    this.#maxFilters = maxFilters;
  }

  /** Adds or replaces one; false: no room for another filter. */
  add(filter: string, subscription: Subscription): boolean {
    if (!this.#byFilter.has(filter) && this.#byFilter.size >= this.#maxFilters) return false;
    this.#byFilter.set(filter, { ...subscription, levels: filter.split('/') });
    return true;
  }

  /** Whether there was one. */
  remove(filter: string): boolean {
    return this.#byFilter.delete(filter);
  }

  /** How a topic, as levels, is to be delivered; undefined: not at all. */
  match(topic: readonly string[], isLocal: boolean): Delivery | undefined {
    let qos: 0 | 1 | undefined;
    const identifiers: number[] = [];
    for (const each of this.#byFilter.values()) {
      if ((isLocal && each.noLocal) || !matches(each.levels, topic)) continue;
      qos = qos === 1 ? 1 : each.qos;
      if (each.identifier !== undefined) identifiers.push(each.identifier);
    }
    return qos === undefined ? undefined : { qos, identifiers };
  }
}
