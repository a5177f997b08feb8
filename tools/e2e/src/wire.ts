import { connect } from 'node:net';
import type { Login } from './digest.ts';

/** All bytes that the gateway answers to a CONNECT of MQTT 3.1.1 until it closes the connection, in hex. */
export function answerBytes(port: number, login: Login): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: string[] = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(connectPacket(login)));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk.toString('hex')));
    socket.once('error', reject);
    socket.once('close', () => resolve(chunks.join('')));
  });
}

/** CONNECT with a clean session, user name and password, keepalive 60 s [MQTT-3.1]. */
function connectPacket({ clientId, username, password = '' }: Login): Buffer {
  const header = Buffer.concat([field('MQTT'), Buffer.from([4, 0xc2, 0, 60])]);
  const body = Buffer.concat([header, field(clientId), field(username), field(password)]);
  return Buffer.concat([Buffer.from([0x10, (body.length % 128) | 0x80, Math.floor(body.length / 128)]), body]);
}

function field(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}
