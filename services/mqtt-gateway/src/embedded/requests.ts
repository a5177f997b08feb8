import type {
  IPublishPacket,
  ISubackPacket,
  ISubscribePacket,
  ISubscription,
  IUnsubackPacket,
  IUnsubscribePacket,
} from 'mqtt-packet';
import { type Message, travelling, type Version } from './codec.ts';
import { REASON, SUBACK_FAILURE } from './reason.ts';
import type { Subscriptions } from './subscriptions.ts';
import { isTopicFilter, isTopicName } from './topics.ts';

/** Which topics a link has. */
export type Rights = {
  readonly mayPublish: (topic: string) => boolean;
  readonly maySubscribe: (filter: string) => boolean;
};

/** What a link is asked on behalf of. */
export type Account = {
  readonly version: Version;
  readonly rights: Rights;
  readonly subscriptions: Subscriptions;
  /** Something outside of the link's rights, or over its bounds, was refused. */
  readonly refused: (operation: 'PUBLISH' | 'SUBSCRIBE', topic: string) => void;
};

/** A request broke the protocol: the link ends with this reason code. */
export type Flaw = { readonly flaw: number };

/** The largest identifier of a subscription [MQTT-3.8.3-1]. */
const MAX_SUBSCRIPTION_ID = 268_435_455;

/** Reads a PUBLISH: a message to deliver, undefined for one that is not to be, or what is wrong with it. */
export function readPublish(packet: IPublishPacket, account: Account): { readonly message?: Message } | Flaw {
  const { topic, qos, retain, payload, messageId } = packet;
  if (qos === 2) return { flaw: REASON.QOS_NOT_SUPPORTED }; // [MQTT-3.2.2-11]
  // Before MQTT 5 nobody can be told that it is not supported, so the message goes out and is not kept.
  if (retain && account.version === 5) return { flaw: REASON.RETAIN_NOT_SUPPORTED }; // [MQTT-3.2.2-14]
  if (packet.properties?.topicAlias !== undefined) return { flaw: REASON.TOPIC_ALIAS_INVALID }; // [MQTT-3.2.2-18]
  if (!isTopicName(topic)) return { flaw: REASON.TOPIC_NAME_INVALID };
  if (qos === 1 && !isMessageId(messageId)) return { flaw: REASON.MALFORMED_PACKET };
  const properties = travelling(packet.properties);
  if (properties === undefined) return { flaw: REASON.MALFORMED_PACKET };
  const { responseTopic } = properties;
  if (responseTopic !== undefined && !isTopicName(responseTopic)) return { flaw: REASON.PROTOCOL_ERROR }; // [MQTT-3.3.2-14]
  if (packet.properties?.subscriptionIdentifier !== undefined) return { flaw: REASON.PROTOCOL_ERROR }; // [MQTT-3.3.4-6]
  if (!account.rights.mayPublish(topic)) {
    account.refused('PUBLISH', topic);
    return {};
  }
  return { message: { topic, qos, properties, payload: Buffer.from(payload) } };
}

/** Carries out a SUBSCRIBE and answers it. */
export function subscribe(packet: ISubscribePacket, account: Account): ISubackPacket | Flaw {
  const { messageId, subscriptions } = packet;
  const identifier = packet.properties?.subscriptionIdentifier;
  if (!isMessageId(messageId)) return { flaw: REASON.MALFORMED_PACKET };
  if (subscriptions.length === 0) return { flaw: REASON.PROTOCOL_ERROR }; // [MQTT-3.8.3-2]
  if (identifier !== undefined && !(identifier >= 1 && identifier <= MAX_SUBSCRIPTION_ID)) {
    return { flaw: REASON.PROTOCOL_ERROR };
  }
  const granted = subscriptions.map((each) => grant(each, identifier, account));
  return { cmd: 'suback', messageId, granted };
}

/** Carries out an UNSUBSCRIBE and answers it. */
export function unsubscribe(packet: IUnsubscribePacket, { subscriptions }: Account): IUnsubackPacket | Flaw {
  const { messageId, unsubscriptions } = packet;
  if (!isMessageId(messageId)) return { flaw: REASON.MALFORMED_PACKET };
  if (unsubscriptions.length === 0) return { flaw: REASON.PROTOCOL_ERROR }; // [MQTT-3.10.3-2]
  const granted = unsubscriptions.map((filter) =>
    subscriptions.remove(filter) ? REASON.SUCCESS : REASON.NO_SUBSCRIPTION,
  );
  return { cmd: 'unsuback', messageId, granted };
}

function grant({ topic, qos, nl = false }: ISubscription, identifier: number | undefined, account: Account): number {
  const refuse = (code: number) => {
    account.refused('SUBSCRIBE', topic);
    return account.version === 5 ? code : SUBACK_FAILURE;
  };
  if (topic.startsWith('$share/')) return refuse(REASON.SHARED_NOT_SUPPORTED);
  if (!isTopicFilter(topic)) return refuse(REASON.TOPIC_FILTER_INVALID);
  if (!account.rights.maySubscribe(topic)) return refuse(REASON.NOT_AUTHORIZED);
  const granted = qos === 0 ? 0 : 1;
  const added = account.subscriptions.add(topic, { qos: granted, noLocal: nl, identifier });
  return added ? granted : refuse(REASON.QUOTA_EXCEEDED);
}

/** What the parser answers where there is none: -1. Zero is forbidden [MQTT-2.2.1-3]. */
function isMessageId(messageId: number | undefined): messageId is number {
  return messageId !== undefined && messageId > 0;
}
