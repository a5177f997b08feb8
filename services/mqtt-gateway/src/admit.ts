import type {
  AuthClient,
  ChangeWatcher,
  Decision,
  GatewayMetrics,
  Grant,
  Session,
  SessionTable,
} from '@latchkey/gateway-kit';
import type { Clock, DeviceId } from '@latchkey/kernel';
import { Protocol } from '@latchkey/protocol/v1';
import type { Log } from '@latchkey/runtime';
import type { AedesOptions, Client, ConnectPacket } from 'aedes';
import { answerTo, type Refusal } from './answer.ts';
import { expire, kickOf } from './kick.ts';
import { peerChain, sourceOf } from './listener.ts';
import { readProof } from './proof.ts';

/** Seconds; outside of them the vendor answers 2. Zero, which would be no keepalive at all, is outside too. */
const MIN_KEEPALIVE_S = 30;
const MAX_KEEPALIVE_S = 1_200;

/** Subscriptions of a link: the larger one of the vendor's two figures. */
const MAX_SUBSCRIPTIONS = 100;

/** Nobody can subscribe to it, so what is published here is dropped. */
const NOWHERE = 'nowhere';

/** What an admission needs. */
export type AdmissionOptions = {
  readonly auth: Pick<AuthClient, 'authenticate'>;
  readonly watcher: Pick<ChangeWatcher, 'placed'>;
  readonly sessions: SessionTable;
  readonly metrics: GatewayMetrics;
  /** A publish or subscribe outside of the device's own topics was refused. */
  readonly topicRefused: (operation: 'PUBLISH' | 'SUBSCRIBE') => void;
  readonly clock: Clock;
  readonly log: Log;
};

/** The hooks through which the broker asks. */
export type Admission = Required<
  Pick<AedesOptions, 'preConnect' | 'authenticate' | 'authorizePublish' | 'authorizeSubscribe'>
> & {
  /** Subscriptions that a client gave up. */
  readonly unsubscribed: (topics: readonly string[], client: Client) => void;
};

type Login = { readonly username: string | undefined; readonly password: Uint8Array | undefined };
type Connect = Pick<ConnectPacket, 'clientId' | 'keepalive'>;
type Link = { readonly deviceId: DeviceId; readonly topics: Set<string> };
type Question = { readonly deviceId: DeviceId; readonly proof: NonNullable<Proof>; readonly source: string };
type Proof = Parameters<AuthClient['authenticate']>[0]['proof'];

const OVERTAKEN = { decision: 'NONE', cause: 'OVERTAKEN' } as const;
const NOT_FOLLOWING = { decision: 'NONE', cause: 'NOT_FOLLOWING' } as const;

/** Decides who may connect, and on which topics. */
export function createAdmission(options: AdmissionOptions): Admission {
  const connects = new WeakMap<Client, Connect>();
  const links = new WeakMap<Client, Link>();
  let lastLink = 0;
  const grantTo = (client: Client, deviceId: DeviceId) => {
    links.set(client, { deviceId, topics: new Set() });
    // The broker's name of the link is its own: client ids repeat within an hour, and the broker's way of closing the
    // older one of the same name can take the newer one off its list. Which link wins is the session table's matter.
    client.id = `${deviceId}/${++lastLink}`;
  };
  return {
    preConnect: (client, packet, done) => {
      connects.set(client, { clientId: packet.clientId, keepalive: packet.keepalive ?? 0 });
      // No session outlives its link, and wills are not supported by the vendor: both would be kept without a bound.
      packet.clean = true;
      delete packet.will;
      done(null, true);
    },
    authenticate: (client, username, password, done) => {
      const connect = connects.get(client) ?? { clientId: '', keepalive: 0 };
      admit(options, client, connect, { username, password })
        .catch((error: unknown): Refusal => {
          options.log.error({ err: error }, 'an admission failed');
          return { decision: 'NONE', cause: 'FAILED' };
        })
        .then((outcome) => {
          options.metrics.decided(outcome);
          if (outcome.decision !== 'GRANTED') {
            options.log.debug({ clientId: connect.clientId, outcome }, 'refused');
            return done(refusalError(outcome), null);
          }
          grantTo(client, outcome.deviceId);
          done(null, true);
        })
        .catch((error: unknown) => {
          options.log.error({ err: error }, 'an answer failed');
          client.close();
        });
    },
    ...topicRules(links, options),
  };
}

/** The steps of one CONNECT. The session registers first and is looked at again before the device hears of it. */
async function admit(
  options: AdmissionOptions,
  client: Client,
  { clientId, keepalive = 0 }: Connect,
  login: Login,
): Promise<(Grant & { readonly deviceId: DeviceId }) | Refusal> {
  if (keepalive < MIN_KEEPALIVE_S || keepalive > MAX_KEEPALIVE_S) return { decision: 'REFUSED', why: 'KEEPALIVE' };

  const reading = readProof({ clientId, ...login, chain: peerChain(client.conn) });
  if (reading.outcome === 'REFUSED') return { decision: 'REFUSED', why: reading.why };

  const { deviceId, proof } = reading;
  const askedAtMs = options.clock.monotonic();
  const decision = await ask(options, client, { deviceId, proof, source: sourceOf(client.conn) });
  if (decision.decision !== 'GRANTED') return decision;

  const session = sessionOf(options, client, deviceId, proof.kind?.case === 'certificate', decision);
  if (!register(options, client, session, askedAtMs)) return OVERTAKEN;

  closeOlderLinks(options.sessions, session);
  watchExpiry(options, client, session, decision);
  return { ...decision, deviceId };
}

async function ask(options: AdmissionOptions, client: Client, question: Question): Promise<Decision> {
  // Without a place in the log, the change that ends this session might never be heard of.
  if (!options.watcher.placed) return NOT_FOLLOWING;
  if (client.closed || client.conn.destroyed) return OVERTAKEN; // gone already: nobody waits for an answer
  return options.auth.authenticate({ ...question, protocol: Protocol.MQTT });
}

function sessionOf(
  options: AdmissionOptions,
  client: Client,
  deviceId: DeviceId,
  byCertificate: boolean,
  { credentialId, revision }: Grant,
): Session {
  return { deviceId, credentialId, revision, byCertificate, close: kickOf(client, deviceId, options.log) };
}

/** Registers, looks again, and sees to it that the table forgets the session when its link ends. */
function register({ sessions }: AdmissionOptions, client: Client, session: Session, askedAtMs: number): boolean {
  if (client.closed || client.conn.destroyed) return false;
  if (!sessions.register(session, askedAtMs)) return false;
  client.conn.once('close', () => sessions.remove(session));
  return true;
}

/** One link per device, and the new one wins, now that it is granted (IoTDA, offline analysis). */
function closeOlderLinks(sessions: SessionTable, session: Session): void {
  sessions.close(
    sessions.ofDevice(session.deviceId).filter((other) => other !== session),
    'REPLACED',
  );
}

function watchExpiry(options: AdmissionOptions, client: Client, session: Session, { expiresAtMs }: Grant): void {
  if (expiresAtMs === undefined) return;
  client.conn.once('close', expire(options.sessions, session, expiresAtMs - options.clock.now()));
}

function refusalError(refusal: Refusal): Error & { readonly returnCode: number } {
  return Object.assign(new Error('refused'), { returnCode: answerTo(refusal).mqtt3 });
}

/** A device has `$oc/devices/{its id}/` and nothing else. */
function topicRules(
  links: WeakMap<Client, Link>,
  { topicRefused, log }: AdmissionOptions,
): Pick<Admission, 'authorizePublish' | 'authorizeSubscribe' | 'unsubscribed'> {
  const refuse = (operation: 'PUBLISH' | 'SUBSCRIBE', link: Link | undefined, topic: string) => {
    topicRefused(operation);
    log.debug({ operation, deviceId: link?.deviceId, topic }, 'topic refused');
  };
  return {
    authorizePublish: (client, packet, done) => {
      const link = client === null ? undefined : links.get(client);
      packet.retain = false; // not supported by the vendor, and kept without a bound
      if (!isOwnTopic(link, packet.topic)) {
        refuse('PUBLISH', link, packet.topic);
        packet.topic = NOWHERE; // acknowledged as its QoS asks and dropped [MQTT-3.3.5-2]
        packet.payload = Buffer.alloc(0);
      }
      done(null);
    },
    authorizeSubscribe: (client, subscription, done) => {
      const link = links.get(client);
      const { topic } = subscription;
      const room = link !== undefined && (link.topics.has(topic) || link.topics.size < MAX_SUBSCRIPTIONS);
      if (room && isOwnTopic(link, topic)) {
        link.topics.add(topic);
        return done(null, subscription);
      }
      refuse('SUBSCRIBE', link, topic);
      done(null, null); // 0x80 in SUBACK
    },
    unsubscribed: (topics, client) => {
      for (const topic of topics) links.get(client)?.topics.delete(topic);
    },
  };
}

function isOwnTopic(link: Link | undefined, topic: string): boolean {
  return link !== undefined && topic.startsWith(`$oc/devices/${link.deviceId}/`);
}
