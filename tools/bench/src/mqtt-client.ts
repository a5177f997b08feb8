import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext } from 'node:tls';

/** Longer than any server needs for one device among so few. */
const DEADLINE_MS = 10_000;

/** Seconds: within what the gateway takes, and longer than a link lasts here. */
const KEEPALIVE_S = 600;

const CONNECT = 0x10;
/** User name, password, clean session [MQTT-3.1.2.3]. */
const CONNECT_FLAGS = 0xc2;
const PROTOCOL_LEVEL = 4;
/** Return code 0, no session present. */
const ACCEPTED = Buffer.from([0x20, 2, 0, 0]);
const DISCONNECT = Buffer.from([0xe0, 0]);

/** What a device says to log in. */
export type Login = { readonly clientId: string; readonly username: string; readonly password: string };

/** Opens a link to a server under test. */
export type Dial = () => Socket;

/** Links over plain TCP. */
export function plainDial(port: number): Dial {
  return () => connectTcp({ port, host: '127.0.0.1', noDelay: true });
}

/** Links over TLS, each with a handshake of its own: no session is ever offered again. */
export function tlsDial(port: number, ca: string): Dial {
  const secureContext = createSecureContext({ ca });
  return () => connectTls({ port, host: '127.0.0.1', secureContext });
}

/** The CONNECT of MQTT 3.1.1 with this login, of less than 16 KiB. */
export function connectPacket({ clientId, username, password }: Login): Buffer {
  const head = [field('MQTT'), Buffer.from([PROTOCOL_LEVEL, CONNECT_FLAGS, KEEPALIVE_S >> 8, KEEPALIVE_S & 0xff])];
  const body = Buffer.concat([...head, field(clientId), field(username), field(password)]);
  // Seven bits a byte, the lowest first [MQTT-2.2.3].
  const length = body.length < 0x80 ? [body.length] : [(body.length & 0x7f) | 0x80, body.length >> 7];
  return Buffer.concat([Buffer.from([CONNECT, ...length]), body]);
}

/**
 * One link: CONNECT, CONNACK, DISCONNECT, and the server closes. Rejects when the device is not let in, or the server
 * does not close in time.
 */
export async function visit(dial: Dial, packet: Buffer): Promise<void> {
  const socket = dial();
  const closed = once(socket, 'close');
  socket.setTimeout(DEADLINE_MS, () => socket.destroy(new Error(`no answer within ${DEADLINE_MS} ms`)));
  let answer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    answer = Buffer.concat([answer, chunk]);
    if (answer.equals(ACCEPTED)) socket.write(DISCONNECT);
    else if (answer.length >= ACCEPTED.length) socket.destroy(new Error(`not let in: ${answer.toString('hex')}`));
  });
  socket.write(packet);
  await closed;
  if (!answer.equals(ACCEPTED)) throw new Error('the server closed without CONNACK');
}

function field(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}
