import type { Version } from '../embedded/codec.ts';
import { CONNECT_BYTE } from '../packets.ts';
import { Cursor, lengthened, Malformed, variableBytes } from './cursor.ts';

/** CONNECT, read as far as the gateway needs it; the rest lies in it as it came. */
export type ConnectPacket = {
  readonly version: Version;
  readonly keepaliveS: number;
  /** Flags of the clean session and of the will, in their places. */
  readonly keptFlags: number;
  /** MQTT 5: the properties with their length; else empty. */
  readonly properties: Buffer;
  /** MQTT 5: it names a way of authentication that goes on after CONNECT. */
  readonly enhanced: boolean;
  readonly clientId: string;
  /** The will with its properties, topic and payload; empty: none. */
  readonly will: Buffer;
  readonly username: string | undefined;
  readonly password: Buffer | undefined;
};

/** What a first packet is: a CONNECT, one of a version that nobody here speaks, or none that MQTT allows. */
export type ConnectReading =
  | { readonly outcome: 'CONNECT'; readonly connect: ConnectPacket }
  | { readonly outcome: 'VERSION' }
  | { readonly outcome: 'MALFORMED' };

/** What the gateway says of itself and of the device to the broker. */
export type UpstreamLogin = {
  readonly clientId: string;
  readonly username: string;
  readonly password: string | undefined;
};

const PROTOCOLS = new Map<string, readonly Version[]>([
  ['MQIsdp', [3]],
  ['MQTT', [4, 5]],
]);

const USERNAME_FLAG = 0x80;
const PASSWORD_FLAG = 0x40;
const WILL_FLAG = 0x04;
const RESERVED_FLAG = 0x01;

/** Retain (0x20) and QoS (0x18) of the will. */
const WILL_WAY_FLAGS = 0x38;
const WILL_QOS_3 = 0x18;

/** What an unread CONNECT hands on: clean session (0x02) and all of the will. */
const KEPT_FLAGS = 0x02 | WILL_FLAG | WILL_WAY_FLAGS;

/** The properties of CONNECT by their identifiers (MQTT 5, section 3.1.2.11). */
const PROPERTIES = new Map<number, (cursor: Cursor) => unknown>([
  [0x11, (cursor) => cursor.bytes(4)], // session expiry interval
  [0x15, (cursor) => cursor.text()], // authentication method
  [0x16, (cursor) => cursor.binary()], // authentication data
  [0x17, (cursor) => cursor.byte()], // request problem information
  [0x19, (cursor) => cursor.byte()], // request response information
  [0x21, (cursor) => cursor.twoBytes()], // receive maximum
  [0x22, (cursor) => cursor.twoBytes()], // topic alias maximum
  [0x26, (cursor) => [cursor.text(), cursor.text()]], // user property
  [0x27, (cursor) => cursor.bytes(4)], // maximum packet size
]);

const AUTHENTICATION = [0x15, 0x16];

/** Reads a whole CONNECT, its fixed header included, strictly (MQTT 3.1.1 and 5, section 3.1). Never throws. */
export function readConnect(packet: Buffer): ConnectReading {
  try {
    return readPacket(new Cursor(packet));
  } catch (error) {
    if (error instanceof Malformed) return { outcome: 'MALFORMED' };
    throw error;
  }
}

function readPacket(cursor: Cursor): ConnectReading {
  if (cursor.byte() !== CONNECT_BYTE) throw new Malformed('it is no CONNECT');
  cursor.variable({ shortest: false }); // the version is not known yet, and the broker gets a length of its own
  const levels = PROTOCOLS.get(cursor.text());
  if (levels === undefined) throw new Malformed('it is another protocol'); // answered by silence [MQTT-3.1.2-1]
  const level = cursor.byte();
  const version = levels.find((each) => each === level);
  if (version === undefined) return { outcome: 'VERSION' };

  const flags = readFlags(cursor, version);
  const keepaliveS = cursor.twoBytes();
  const { properties, enhanced } = version === 5 ? readProperties(cursor) : NO_PROPERTIES;
  const clientId = cursor.text();
  const will = (flags & WILL_FLAG) === 0 ? NOTHING : readWill(cursor, version);
  const username = (flags & USERNAME_FLAG) === 0 ? undefined : cursor.text();
  const password = (flags & PASSWORD_FLAG) === 0 ? undefined : cursor.binary();
  if (!cursor.atEnd) throw new Malformed('something is behind it');
  const keptFlags = flags & KEPT_FLAGS;
  const connect = { version, keepaliveS, keptFlags, properties, enhanced, clientId, will, username, password };
  return { outcome: 'CONNECT', connect };
}

const NOTHING = Buffer.alloc(0);
const NO_PROPERTIES = { properties: NOTHING, enhanced: false };

function readFlags(cursor: Cursor, version: Version): number {
  const flags = cursor.byte();
  const has = (flag: number) => (flags & flag) !== 0;
  if (has(RESERVED_FLAG)) throw new Malformed('the reserved flag is set'); // [MQTT-3.1.2-3]
  if (!has(WILL_FLAG) && has(WILL_WAY_FLAGS)) throw new Malformed('no will has flags'); // [MQTT-3.1.2-11]
  if ((flags & WILL_WAY_FLAGS & WILL_QOS_3) === WILL_QOS_3) throw new Malformed('the will has QoS 3');
  if (version < 5 && has(PASSWORD_FLAG) && !has(USERNAME_FLAG)) throw new Malformed('a password has no user name');
  return flags;
}

function readProperties(cursor: Cursor): { readonly properties: Buffer; readonly enhanced: boolean } {
  const start = cursor.at;
  const length = cursor.variable();
  const inside = new Cursor(cursor.bytes(length));
  let enhanced = false;
  while (!inside.atEnd) {
    const identifier = inside.variable();
    const skip = PROPERTIES.get(identifier);
    if (skip === undefined) throw new Malformed('it has a property of another packet');
    skip(inside);
    enhanced ||= AUTHENTICATION.includes(identifier);
  }
  return { properties: cursor.since(start), enhanced };
}

/** The broker judges the will; here it is only measured. */
function readWill(cursor: Cursor, version: Version): Buffer {
  const start = cursor.at;
  if (version === 5) cursor.bytes(cursor.variable());
  cursor.text();
  cursor.binary();
  return cursor.since(start);
}

/** The same CONNECT under another login. */
export function rewriteConnect(connect: ConnectPacket, login: UpstreamLogin): Buffer {
  const { version, keptFlags, keepaliveS, properties, will } = connect;
  const passwordFlag = login.password === undefined ? 0 : PASSWORD_FLAG;
  const keepalive = Buffer.alloc(2);
  keepalive.writeUInt16BE(keepaliveS);
  const body = Buffer.concat([
    lengthened(Buffer.from(version === 3 ? 'MQIsdp' : 'MQTT')),
    Buffer.from([version, keptFlags | USERNAME_FLAG | passwordFlag]),
    keepalive,
    properties,
    lengthened(Buffer.from(login.clientId)),
    will,
    lengthened(Buffer.from(login.username)),
    login.password === undefined ? NOTHING : lengthened(Buffer.from(login.password)),
  ]);
  return Buffer.concat([Buffer.from([CONNECT_BYTE]), variableBytes(body.length), body]);
}
