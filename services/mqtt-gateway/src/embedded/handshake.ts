import type { IConnackPacket, IConnectPacket } from 'mqtt-packet';
import { MAX_PACKET_BYTES } from '../packets.ts';
import { REASON } from './reason.ts';

/** The codes of a refusal that has no other cause than the protocol. */
export type ProtocolRefusal = { readonly mqtt3: number; readonly mqtt5: number };

/** The refusal of a version that is none of the three. */
export const OTHER_VERSION: ProtocolRefusal = { mqtt3: 1, mqtt5: REASON.UNSUPPORTED_VERSION };

/** What the protocol itself refuses in a CONNECT, whoever sends it. */
export function refusalOf({ protocolVersion, properties }: IConnectPacket): ProtocolRefusal | undefined {
  if (protocolVersion !== 5 || properties === undefined) return undefined;
  const { authenticationMethod, authenticationData, receiveMaximum = 1, maximumPacketSize = 1 } = properties;
  const alone = authenticationData !== undefined && authenticationMethod === undefined; // (3.1.2.11.10)
  const sound = receiveMaximum > 0 && maximumPacketSize > 0; // (3.1.2.11.3, 3.1.2.11.4)
  return sound && !alone ? undefined : { mqtt3: 2, mqtt5: REASON.PROTOCOL_ERROR };
}

/** CONNACK, which tells MQTT 5 what is not to be had here. A property that is left away has its default. */
export function connackTo({ protocolVersion, properties }: IConnectPacket): IConnackPacket {
  if (protocolVersion !== 5) return { cmd: 'connack', sessionPresent: false, returnCode: 0 };
  const asked = properties?.sessionExpiryInterval ?? 0;
  return {
    cmd: 'connack',
    sessionPresent: false,
    reasonCode: REASON.SUCCESS,
    properties: {
      ...(asked > 0 && { sessionExpiryInterval: 0 }), // [MQTT-3.2.2.3.2]
      maximumQoS: 1,
      retainAvailable: false,
      maximumPacketSize: MAX_PACKET_BYTES,
      sharedSubscriptionAvailable: false,
    },
  };
}
