import type { Connack } from '../answer.ts';
import type { Version } from '../embedded/codec.ts';
import { CONNACK_BYTE } from '../packets.ts';
import { Cursor, Malformed } from './cursor.ts';

const DISCONNECT_BYTE = 0xe0;
const NO_PROPERTIES = 0;

/** A refusing CONNACK: no session is present [MQTT-3.2.2-4]. */
export function refusingConnack(version: Version, { mqtt3, mqtt5 }: Connack): Buffer {
  const body = version === 5 ? [0, mqtt5, NO_PROPERTIES] : [0, mqtt3];
  return Buffer.from([CONNACK_BYTE, body.length, ...body]);
}

/** DISCONNECT from the server, which MQTT 5 alone knows. */
export function serverDisconnect(reason: number): Buffer {
  return Buffer.from([DISCONNECT_BYTE, 2, reason, NO_PROPERTIES]);
}

/**
 * The return or reason code of a whole CONNACK, 0 for success; undefined: it is none, or a success in the form of another
 * version. A broker that does not speak MQTT 5 refuses it in the form of MQTT 3.1.1.
 */
export function codeOfConnack(packet: Buffer, version: Version): number | undefined {
  try {
    const cursor = new Cursor(packet);
    if (cursor.byte() !== CONNACK_BYTE) return undefined;
    cursor.variable();
    cursor.byte();
    const code = cursor.byte();
    const hasProperties = !cursor.atEnd;
    return code === 0 && hasProperties !== (version === 5) ? undefined : code;
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}
