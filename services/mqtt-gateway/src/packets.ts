/** First byte of CONNECT: type 1, flags 0 [MQTT-2.2.2-1]. */
export const CONNECT_BYTE = 0x10;

/** First byte of CONNACK: type 2, flags 0. */
export const CONNACK_BYTE = 0x20;

/** Client id, user name and password take less than 1 KiB; the rest is room for a will and for properties. */
export const MAX_CONNECT_BYTES = 65_536;

/** The vendor's bound on a message, 1 MB. */
export const MAX_PACKET_BYTES = 1_048_576;

/** Bytes of a remaining length [MQTT-2.2.3]. */
const MAX_LENGTH_BYTES = 4;

/** What a stream of packets may not do: begin with another packet than it should, or announce one over its bound. */
export type Breach = 'WRONG_FIRST' | 'TOO_LONG' | 'BAD_LENGTH';

/** What a stream of packets is held to: its first byte, and bounds on what follows the fixed headers. */
export type PacketRules = {
  readonly firstByte: number;
  readonly maxFirstBytes: number;
  readonly maxOtherBytes: number;
};

/** Follows a stream of MQTT packets, chunk by chunk, by their fixed headers alone. */
export type PacketWalk = {
  /** Takes the next chunk; what is wrong with it, if anything. After a breach the stream cannot be followed. */
  readonly take: (chunk: Uint8Array) => Breach | undefined;
  /** Whether the chunks so far end where a packet ends. */
  readonly atBoundary: () => boolean;
};

/** Begins at the first byte of a stream. */
export function packetWalk({ firstByte, maxFirstBytes, maxOtherBytes }: PacketRules): PacketWalk {
  let maxBytes = maxFirstBytes;
  let expect: 'FIRST' | 'TYPE' | 'LENGTH' = 'FIRST';
  let bodyLeft = 0;
  let length = 0;
  let lengthBytes = 0;
  const takeByte = (byte: number): Breach | undefined => {
    if (expect === 'FIRST' && byte !== firstByte) return 'WRONG_FIRST';
    if (expect !== 'LENGTH') {
      expect = 'LENGTH';
      length = 0;
      lengthBytes = 0;
      return;
    }
    length += (byte & 0x7f) * 128 ** lengthBytes++;
    if (length > maxBytes) return 'TOO_LONG';
    if (byte >= 0x80) return lengthBytes === MAX_LENGTH_BYTES ? 'BAD_LENGTH' : undefined;
    expect = 'TYPE';
    bodyLeft = length;
    maxBytes = maxOtherBytes;
  };
  const take = (chunk: Uint8Array) => {
    for (let at = 0; at < chunk.length; ) {
      const skipped = Math.min(bodyLeft, chunk.length - at);
      bodyLeft -= skipped;
      at += skipped;
      const byte = chunk[at++];
      const breach = byte === undefined ? undefined : takeByte(byte);
      if (breach !== undefined) return breach;
    }
  };
  return { take, atBoundary: () => expect !== 'LENGTH' && bodyLeft === 0 };
}
