import { generate, type IPublishPacket, type Packet, parser } from 'mqtt-packet';

/** 3 is MQTT 3.1, 4 is MQTT 3.1.1. */
export type Version = 3 | 4 | 5;

/** Properties that travel with a message of MQTT 5 from its publisher to whoever receives it [MQTT-3.3.2.3]. */
export type MessageProperties = Pick<
  NonNullable<IPublishPacket['properties']>,
  | 'payloadFormatIndicator'
  | 'messageExpiryInterval'
  | 'responseTopic'
  | 'correlationData'
  | 'userProperties'
  | 'contentType'
>;

/** An application message. QoS 2 is not spoken here (the vendor does not either). */
export type Message = {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1;
  readonly properties: MessageProperties;
};

/** Bytes of a text in a packet: what its length field can say [MQTT-1.5.4]. */
const MAX_TEXT_BYTES = 65_535;

/** What a chunk of the stream brought: packets, and whether the stream can be read on. */
export type Reading = { readonly packets: readonly Packet[]; readonly failure: 'VERSION' | 'MALFORMED' | undefined };

/** Reads a stream of packets, chunk by chunk. After a failure it must not be used again. Never throws. */
export function packetReader(): (chunk: Buffer) => Reading {
  let packets: Packet[] = [];
  let failure: Reading['failure'];
  const reader = parser();
  reader.on('packet', (packet) => packets.push(packet));
  reader.on('error', (error) => {
    failure ??= error instanceof Error && error.message === 'Invalid protocol version' ? 'VERSION' : 'MALFORMED';
  });
  return (chunk) => {
    packets = [];
    try {
      reader.parse(chunk);
    } catch {
      failure ??= 'MALFORMED'; // a length inside the packet that leads out of it
    }
    return { packets, failure };
  };
}

/** The bytes of a packet. Throws on one that the protocol cannot express. */
export function encode(packet: Packet, version: Version): Buffer {
  return generate(packet, { protocolVersion: version });
}

/** The properties that travel; undefined when the parser let one through that is malformed. */
export function travelling(properties: IPublishPacket['properties'] = {}): MessageProperties | undefined {
  const { payloadFormatIndicator, messageExpiryInterval, responseTopic, correlationData, contentType } = properties;
  const { userProperties } = properties;
  const texts = [responseTopic ?? '', contentType ?? '', ...Object.entries(userProperties ?? {}).flat(2)];
  const sound =
    texts.every(isText) &&
    (payloadFormatIndicator === undefined || typeof payloadFormatIndicator === 'boolean') &&
    (messageExpiryInterval === undefined || messageExpiryInterval >= 0) &&
    (correlationData === undefined || Buffer.isBuffer(correlationData));
  if (!sound) return undefined;
  return {
    ...(payloadFormatIndicator !== undefined && { payloadFormatIndicator }),
    ...(messageExpiryInterval !== undefined && { messageExpiryInterval }),
    ...(responseTopic !== undefined && { responseTopic }),
    ...(correlationData !== undefined && { correlationData }),
    ...(contentType !== undefined && { contentType }),
    ...(userProperties !== undefined && { userProperties }),
  };
}

/** A text can get longer by being read: a byte that is not UTF-8 becomes three. */
function isText(text: unknown): boolean {
  return typeof text === 'string' && Buffer.byteLength(text) <= MAX_TEXT_BYTES;
}
