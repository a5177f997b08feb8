import type { Duplex } from 'node:stream';

/** What is held of a stream whose way on is not open yet; the rest waits in its sender's memory. */
const MAX_HELD_BYTES = 65_536;

/** The shortest packet. */
const MIN_PACKET_BYTES = 2;

/** Bytes of a remaining length [MQTT-2.2.3]. */
const MAX_LENGTH_BYTES = 4;

/** Reads the first packet of a stream, and holds what comes behind it. */
export type Intake = {
  /** The whole packet; undefined: the stream ended before, or begins with something else. */
  readonly first: Promise<Buffer | undefined>;
  /** Ends the holding; answers what came behind the first packet. The stream's next chunk is the next reader's. */
  readonly release: () => Buffer;
};

/** Begins to read. Reading on shows when the stream ends, so it stops only when the bound is reached. */
export function openIntake(stream: Duplex, rules: { readonly firstByte: number; readonly maxBytes: number }): Intake {
  const { promise: first, resolve } = Promise.withResolvers<Buffer | undefined>();
  let held: Buffer[] = [];
  let heldBytes = 0;
  let neededBytes = MIN_PACKET_BYTES;
  let reading = true;

  const finish = (packet?: Buffer) => {
    reading = false;
    resolve(packet);
  };
  const assemble = () => {
    const bytes = Buffer.concat(held, heldBytes);
    if (bytes[0] !== rules.firstByte) return finish();
    const size = sizeOf(bytes);
    if (size !== undefined && size > rules.maxBytes) return finish();
    neededBytes = size ?? bytes.length + 1;
    if (heldBytes < neededBytes) return;
    finish(bytes.subarray(0, neededBytes));
    held = [bytes.subarray(neededBytes)];
    heldBytes -= neededBytes;
  };
  const take = (chunk: Buffer) => {
    held.push(chunk);
    heldBytes += chunk.length;
    if (reading && heldBytes >= neededBytes) assemble();
    if (!reading && heldBytes >= MAX_HELD_BYTES) stream.pause();
  };
  stream.on('data', take);
  stream.once('end', () => finish());
  stream.once('close', () => finish());
  return {
    first,
    release: () => {
      stream.off('data', take);
      return Buffer.concat(held, heldBytes);
    },
  };
}

/** Bytes of the packet that begins here; undefined: its length is not all there; infinite: it has no end. */
function sizeOf(bytes: Buffer): number | undefined {
  let length = 0;
  for (let index = 0; index < MAX_LENGTH_BYTES; index++) {
    const byte = bytes[1 + index];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * 128 ** index;
    if (byte < 0x80) return 2 + index + length;
  }
  return Number.POSITIVE_INFINITY;
}
