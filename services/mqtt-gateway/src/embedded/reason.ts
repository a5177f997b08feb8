import type { CloseCause } from '@latchkey/gateway-kit';

/** The reason codes of MQTT 5 that links send beside those of answer.ts (MQTT 5.0, 2.4). */
export const REASON = {
  SUCCESS: 0x00,
  NO_SUBSCRIPTION: 0x11,
  MALFORMED_PACKET: 0x81,
  PROTOCOL_ERROR: 0x82,
  UNSUPPORTED_VERSION: 0x84,
  NOT_AUTHORIZED: 0x87,
  SERVER_BUSY: 0x89,
  SERVER_SHUTTING_DOWN: 0x8b,
  KEEP_ALIVE_TIMEOUT: 0x8d,
  SESSION_TAKEN_OVER: 0x8e,
  TOPIC_FILTER_INVALID: 0x8f,
  TOPIC_NAME_INVALID: 0x90,
  TOPIC_ALIAS_INVALID: 0x94,
  PACKET_TOO_LARGE: 0x95,
  QUOTA_EXCEEDED: 0x97,
  ADMINISTRATIVE_ACTION: 0x98,
  RETAIN_NOT_SUPPORTED: 0x9a,
  QOS_NOT_SUPPORTED: 0x9b,
  SHARED_NOT_SUPPORTED: 0x9e,
  MAXIMUM_CONNECT_TIME: 0xa0,
} as const;

/** SUBACK's only failure before MQTT 5 [MQTT-3.9.3-2]. */
export const SUBACK_FAILURE = 0x80;

/** What DISCONNECT says of a session that was closed from this side. A device that may come back at once is told so. */
export function reasonOf(cause: CloseCause): number {
  switch (cause) {
    case 'REPLACED':
      return REASON.SESSION_TAKEN_OVER;
    case 'EXPIRED':
      return REASON.MAXIMUM_CONNECT_TIME;
    case 'UNCHECKED':
      return REASON.SERVER_BUSY;
    case 'STOPPING':
      return REASON.SERVER_SHUTTING_DOWN;
    case 'DEVICE':
    case 'CREDENTIAL':
    case 'CHECKED':
      return REASON.ADMINISTRATIVE_ACTION;
  }
}
