import type { DeviceId } from '@latchkey/kernel';
import type { Log } from '@latchkey/runtime';
import type { AedesOptions, Client } from 'aedes';

/** Subscriptions of a link: the larger one of the vendor's two figures. */
const MAX_SUBSCRIPTIONS = 100;

/** Nobody can subscribe to it, so what is published here is dropped. */
const NOWHERE = 'nowhere';

/** The hooks through which the broker asks about topics. */
export type TopicRules = Required<Pick<AedesOptions, 'authorizePublish' | 'authorizeSubscribe'>> & {
  /** Begins the account of a link that was granted. */
  readonly granted: (client: Client, deviceId: DeviceId) => void;
  /** Subscriptions that a client gave up. */
  readonly unsubscribed: (topics: readonly string[], client: Client) => void;
};

type Account = { readonly deviceId: DeviceId; readonly topics: Set<string> };

/** A device has `$oc/devices/{its id}/` and nothing else. */
export function topicRules(topicRefused: (operation: 'PUBLISH' | 'SUBSCRIBE') => void, log: Log): TopicRules {
  const accounts = new WeakMap<Client, Account>();
  const refuse = (operation: 'PUBLISH' | 'SUBSCRIBE', account: Account | undefined, topic: string) => {
    topicRefused(operation);
    log.debug({ operation, deviceId: account?.deviceId, topic }, 'topic refused');
  };
  return {
    granted: (client, deviceId) => void accounts.set(client, { deviceId, topics: new Set() }),
    authorizePublish: (client, packet, done) => {
      const account = client === null ? undefined : accounts.get(client);
      packet.retain = false; // not supported by the vendor, and kept without a bound
      if (!isOwnTopic(account, packet.topic)) {
        refuse('PUBLISH', account, packet.topic);
        packet.topic = NOWHERE; // acknowledged as its QoS asks and dropped [MQTT-3.3.5-2]
        packet.payload = Buffer.alloc(0);
      }
      done(null);
    },
    authorizeSubscribe: (client, subscription, done) => {
      const account = accounts.get(client);
      const { topic } = subscription;
      const room = account !== undefined && (account.topics.has(topic) || account.topics.size < MAX_SUBSCRIPTIONS);
      if (room && isOwnTopic(account, topic)) {
        account.topics.add(topic);
        return done(null, subscription);
      }
      refuse('SUBSCRIBE', account, topic);
      done(null, null); // 0x80 in SUBACK
    },
    unsubscribed: (topics, client) => {
      for (const topic of topics) accounts.get(client)?.topics.delete(topic);
    },
  };
}

function isOwnTopic(account: Account | undefined, topic: string): boolean {
  return account !== undefined && topic.startsWith(`$oc/devices/${account.deviceId}/`);
}
