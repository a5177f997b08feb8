import type { Session, SessionTable } from '@latchkey/gateway-kit';
import { Counter, type Log, type Registry } from '@latchkey/runtime';
import { Aedes, type AedesOptions, type Client, type ConnectPacket } from 'aedes';
import type { Admit, Link } from './admit.ts';
import { answerTo, type Refusal } from './answer.ts';
import type { Door } from './listener.ts';
import { topicRules } from './topics.ts';

/** The client id that MQTT 3.1 limits to 23 characters is longer with the vendor, on all versions. */
const MAX_CLIENT_ID_CHARS = 256;

/** QoS 2 messages that a link may leave half done; the vendor does not support QoS 2 at all. */
const MAX_QOS2_IN_FLIGHT = 16;

/** What the embedded broker needs. */
export type EmbeddedOptions = {
  readonly admit: Admit;
  readonly sessions: SessionTable;
  readonly registry: Registry;
  /** CONNECT must arrive within this time. */
  readonly connectMs: number;
  readonly log: Log;
};

type Hooks = Required<Pick<AedesOptions, 'preConnect' | 'authenticate' | 'authorizePublish' | 'authorizeSubscribe'>> & {
  readonly unsubscribed: (topics: readonly string[], client: Client) => void;
};

/** The broker in this process: devices that were let in publish and subscribe here. */
export async function openEmbedded(options: EmbeddedOptions): Promise<Door> {
  const { log, connectMs } = options;
  const { unsubscribed, ...hooks } = hooksOf(options);
  const broker = await Aedes.createBroker({
    ...hooks,
    connectTimeout: connectMs,
    maxClientsIdLength: MAX_CLIENT_ID_CHARS,
    maxInflightInbound: MAX_QOS2_IN_FLIGHT,
  });
  broker.on('unsubscribe', unsubscribed);
  // A link that ends between its grant and its registration would stay on the broker's list for ever.
  broker.on('client', (client) => {
    if (client.closed) (broker as Aedes & { deleteClient(id: Client['id']): void }).deleteClient(client.id);
  });
  broker.on('clientError', (_, error) => log.debug({ err: error }, 'a link failed'));
  broker.on('connectionError', (_, error) => log.debug({ err: error }, 'a connection failed'));
  // Emitted without a type by the broker's in-memory persistence; unheard it would end the process.
  (broker as NodeJS.EventEmitter).on('error', (error) => log.error({ err: error }, 'the broker failed'));
  return {
    accept: (socket) => void broker.handle(socket),
    close: () => new Promise((resolve) => broker.close(resolve)),
  };
}

function hooksOf({ admit, sessions, registry, log }: EmbeddedOptions): Hooks {
  const connects = new WeakMap<Client, Pick<ConnectPacket, 'clientId' | 'keepalive'>>();
  const { granted, ...topics } = topicRules(topicMetrics(registry), log);
  let lastLink = 0;
  return {
    preConnect: (client, packet, done) => {
      connects.set(client, { clientId: packet.clientId, keepalive: packet.keepalive ?? 0 });
      // No session outlives its link, and wills are not supported by the vendor: both would be kept without a bound.
      packet.clean = true;
      delete packet.will;
      done(null, true);
    },
    authenticate: (client, username, password, done) => {
      const { clientId = '', keepalive = 0 } = connects.get(client) ?? {};
      admit(linkOf(client), { clientId, keepaliveS: keepalive, enhanced: false, username, password })
        .then((outcome) => {
          if (outcome.decision !== 'GRANTED') return done(refusalError(outcome), null);
          const { deviceId } = outcome;
          closeOlderLinks(sessions, outcome.session);
          granted(client, deviceId);
          // The broker's name of the link is its own: client ids repeat within an hour, and the broker's way of closing
          // the older one of the same name can take the newer one off its list. Which link wins is the session table's
          // matter.
          client.id = `${deviceId}/${++lastLink}`;
          done(null, true);
        })
        .catch((error: unknown) => {
          log.error({ err: error }, 'an answer failed');
          client.close();
        });
    },
    ...topics,
  };
}

/** MQTT 3 has no DISCONNECT from the server, so the connection just closes. */
function linkOf(client: Client): Link {
  return {
    conn: client.conn,
    isOpen: () => !client.closed && !client.conn.destroyed,
    close: () => client.close(),
  };
}

/** One link per device, and the new one wins, now that it is granted (IoTDA, offline analysis). */
function closeOlderLinks(sessions: SessionTable, session: Session): void {
  sessions.close(
    sessions.ofDevice(session.deviceId).filter((other) => other !== session),
    'REPLACED',
  );
}

function refusalError(refusal: Refusal): Error & { readonly returnCode: number } {
  return Object.assign(new Error('refused'), { returnCode: answerTo(refusal).mqtt3 });
}

function topicMetrics(registry: Registry): (operation: 'PUBLISH' | 'SUBSCRIBE') => void {
  const refused = new Counter({
    name: 'latchkey_mqtt_topics_refused_total',
    help: "Publishes dropped and subscriptions refused outside of the device's own topics",
    labelNames: ['operation'],
    registers: [registry],
  });
  return (operation) => refused.inc({ operation });
}
