import { createHash, timingSafeEqual } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { Connack } from '../answer.ts';
import type { Reins } from '../listener.ts';
import type { IngressCredential } from './ingress-config.ts';
import { Link, type LinkOptions, type Verdict } from './link.ts';
import { REASON } from './reason.ts';
import type { Router } from './router.ts';
import { deviceOf } from './topics.ts';

/** Links at the ingress: a handful of gateways and applications. Every message is matched against all of them. */
export const MAX_INGRESS_LINKS = 64;

/** What applications may subscribe to: topics of one device or of all. */
const FILTER = /^\$oc\/devices\/(\+|[A-Za-z0-9_-]{1,128})\/./;

const BAD_LOGIN: Connack = { mqtt3: 4, mqtt5: 0x86 };
const BAD_METHOD: Connack = { mqtt3: 4, mqtt5: 0x8c };

/** What an ingress needs. */
export type IngressOptions = Omit<LinkOptions, 'stream' | 'decide' | 'publish' | 'pace'> & {
  readonly router: Router;
  readonly credential: IngressCredential;
};

/**
 * The door for applications and other gateways: whoever has its credential publishes and subscribes on the topics of all
 * devices. No device gets in here, and with this credential nobody gets in at the devices' listeners.
 */
export function openIngress(options: IngressOptions): (stream: Duplex) => Reins {
  const { router, credential, ...rest } = options;
  const isRight = loginCheck(credential);
  return (stream) => {
    const link = new Link({
      ...rest,
      stream,
      pace: undefined, // a gateway speaks for many devices
      publish: (message, from) => router.publish(message, from),
      decide: (_, { username, password, properties }): Promise<Verdict> => {
        const refuse = (answer: Connack) => Promise.resolve({ outcome: 'REFUSED', answer } as const);
        if (properties?.authenticationMethod !== undefined) return refuse(BAD_METHOD);
        if (!isRight(username, password)) return refuse(BAD_LOGIN);
        return Promise.resolve({
          outcome: 'OPEN',
          rights: {
            mayPublish: (topic) => deviceOf(topic) !== undefined,
            maySubscribe: (filter) => FILTER.test(filter),
          },
          opened: (recipient) => {
            router.addApplication(recipient);
            stream.once('close', () => router.removeApplication(recipient));
          },
        });
      },
    });
    return { breach: (breach) => link.breach(breach), dismiss: () => link.end(REASON.SERVER_SHUTTING_DOWN) };
  };
}

/** Compares in constant time: of hashes, so that the lengths are the same. */
function loginCheck({ username, password }: IngressCredential) {
  const hash = (name: string, word: Uint8Array) =>
    createHash('sha256').update(createHash('sha256').update(name).digest()).update(word).digest();
  const right = hash(username, Buffer.from(password.reveal()));
  return (name: string | undefined, word: Uint8Array | undefined) =>
    name !== undefined && word !== undefined && timingSafeEqual(hash(name, word), right);
}
