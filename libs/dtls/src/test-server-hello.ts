import { Reader } from './bytes.ts';
import { EXTENSION } from './codes.ts';

/** What a client needs of a server's hello. */
export function readServerHello(body: Buffer): { readonly random: Buffer; readonly connectionId: Buffer | undefined } {
  const reader = new Reader(body);
  reader.number(2);
  const random = reader.bytes(32);
  reader.vector(1);
  reader.number(3);
  const list = new Reader(reader.left > 0 ? reader.vector(2) : Buffer.alloc(0));
  let connectionId: Buffer | undefined;
  while (list.left > 0) {
    const type = list.number(2);
    const content = list.vector(2);
    if (type === EXTENSION.CONNECTION_ID) connectionId = new Reader(content).vector(1);
  }
  return { random, connectionId };
}
