/** The vendor's topics are shorter than 200 bytes with the longest device id; a custom one may have 128 bytes after it. */
const MAX_TOPIC_BYTES = 512;

/** Levels of a topic or filter: what a match may cost. The vendor's topics have at most 8. */
const MAX_LEVELS = 32;

/** `$oc/devices/{device_id}/` and what the device's topics begin with. */
const OF_DEVICE = /^\$oc\/devices\/([A-Za-z0-9_-]{1,128})\/./;

/**
 * What the platform sends to a device, after `$oc/devices/{device_id}/sys/`. The vendor's devices subscribe to none of it
 * (IoTDA API iot_06_v5_3004; its SDKs).
 */
const PUSHED =
  /^\$oc\/devices\/[^/]+\/sys\/((messages|events)\/down|(commands|properties\/[gs]et|shadow\/get\/response)\/request_id=[^/]+)$/;

/** The device whose topic this is; undefined: it is no device's. */
export function deviceOf(topic: string): string | undefined {
  return OF_DEVICE.exec(topic)?.[1];
}

/** Whether a device gets this topic without a subscription, from the application or another gateway. */
export function isPushed(topic: string): boolean {
  return PUSHED.test(topic);
}

/** Whether it may be published to: bounded, and without wildcards [MQTT-3.3.2-2]. */
export function isTopicName(topic: string): boolean {
  return isBounded(topic) && !/[+#]/.test(topic);
}

/** Whether it may be subscribed to: bounded, each wildcard a level of its own, `#` the last [MQTT-4.7.1-2, -3]. */
export function isTopicFilter(filter: string): boolean {
  const levels = filter.split('/');
  const wellPlaced = (level: string, index: number) =>
    level === '+' || (level === '#' ? index === levels.length - 1 : !/[+#]/.test(level));
  return isBounded(filter) && levels.every(wellPlaced);
}

/** Whether a filter takes a topic, both as levels. No wildcard stands for a first level that begins with `$` [MQTT-4.7.2-1]. */
export function matches(filter: readonly string[], topic: readonly string[]): boolean {
  if (topic[0]?.startsWith('$') && filter[0] !== topic[0]) return false;
  for (const [index, level] of filter.entries()) {
    if (level === '#') return true; // the parent level too [MQTT-4.7.1-2]
    if (index >= topic.length || (level !== '+' && level !== topic[index])) return false;
  }
  return filter.length === topic.length;
}

function isBounded(topic: string): boolean {
  // U+0000 is forbidden [MQTT-1.5.4-2]; U+FFFD is what the parser makes of bytes that are not UTF-8 [MQTT-1.5.4-1].
  if (topic === '' || topic.includes('\0') || topic.includes('\ufffd')) return false;
  return Buffer.byteLength(topic) <= MAX_TOPIC_BYTES && topic.split('/').length <= MAX_LEVELS;
}
