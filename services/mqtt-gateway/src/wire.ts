import { createSecureContext } from 'node:tls';
import {
  ChangeWatcher,
  connectAuth,
  gatewayMetrics,
  listenOn,
  metricsListener,
  RecentClosings,
  SessionTable,
} from '@latchkey/gateway-kit';
import { systemClock, systemRandom } from '@latchkey/kernel';
import {
  Counter,
  createRegistry,
  formatAddress,
  isLoopback,
  type Log,
  type Registry,
  type Running,
  SettingsError,
} from '@latchkey/runtime';
import { Aedes, type AedesOptions, type Client } from 'aedes';
import { createAdmission } from './admit.ts';
import type { Config } from './config.ts';
import { openListeners } from './listener.ts';

/** CONNECT must arrive within: a device sends it at once, and a slow network delays it by seconds. */
const CONNECT_DEADLINE_MS = 10_000;

/** The client id that MQTT 3.1 limits to 23 characters is longer with the vendor, on all versions. */
const MAX_CLIENT_ID_CHARS = 256;

/** QoS 2 messages that a link may leave half done; the vendor does not support QoS 2 at all. */
const MAX_QOS2_IN_FLIGHT = 16;

const clock = systemClock;
const random = systemRandom;

/** What a test may shorten. */
export type Deadlines = { readonly connectMs?: number; readonly decisionMs?: number };

/** Builds the MQTT gateway from top to bottom and starts it. Rejects with a SettingsError when the settings cannot be. */
export async function startMqttGateway(config: Config, log: Log, deadlines: Deadlines = {}): Promise<Running> {
  checkIdentity(config);
  const registry = createRegistry('mqtt-gateway');
  const { monotonic } = clock;
  const metrics = gatewayMetrics(registry, { sessionsOpen: () => sessions.size, monotonic });
  const closings = new RecentClosings(monotonic);
  const sessions = new SessionTable({ closings, metrics, log });
  const { decisionMs } = deadlines;
  const auth = connectAuth({
    address: config.auth,
    clock,
    metrics,
    ...(decisionMs === undefined ? {} : { deadlineMs: decisionMs }),
  });
  const watcher = new ChangeWatcher({ auth, sessions, closings, metrics, clock, random, log });
  const topicRefused = topicMetrics(registry);
  const admission = createAdmission({ auth, watcher, sessions, metrics, topicRefused, clock, log });
  const broker = await createBroker(admission, log, deadlines.connectMs ?? CONNECT_DEADLINE_MS);
  const probes = metricsListener(registry, () => watcher.placed);

  watcher.start();
  const release = async () => {
    watcher.stop();
    auth.close();
    probes.closeAllConnections();
    probes.close();
    await new Promise<void>((resolve) => broker.close(resolve));
  };
  try {
    const probed = await listenOn(probes, '--metrics', config.metrics);
    const { mqtt, mqtts, maxConnections } = config;
    const accept = (socket: Parameters<typeof broker.handle>[0]) => void broker.handle(socket);
    const listeners = await openListeners({ mqtt, mqtts, maxConnections, accept, log });
    warnOfPlain(config, log);
    return {
      ready: {
        mqtt: formatAddress(listeners.mqtt),
        ...(listeners.mqtts && { mqtts: formatAddress(listeners.mqtts) }),
        metrics: formatAddress(probed),
      },
      stop: async () => {
        await listeners.stop();
        await release();
      },
    };
  } catch (error) {
    await release();
    throw error;
  }
}

async function createBroker(
  { unsubscribed, ...hooks }: ReturnType<typeof createAdmission>,
  log: Log,
  connectTimeout: number,
): Promise<Aedes> {
  const options: AedesOptions = {
    ...hooks,
    connectTimeout,
    maxClientsIdLength: MAX_CLIENT_ID_CHARS,
    maxInflightInbound: MAX_QOS2_IN_FLIGHT,
  };
  const broker = await Aedes.createBroker(options);
  broker.on('unsubscribe', unsubscribed);
  // A link that ends between its grant and its registration would stay on the broker's list for ever.
  broker.on('client', (client) => {
    if (client.closed) (broker as Aedes & { deleteClient(id: Client['id']): void }).deleteClient(client.id);
  });
  broker.on('clientError', (_, error) => log.debug({ err: error }, 'a link failed'));
  broker.on('connectionError', (_, error) => log.debug({ err: error }, 'a connection failed'));
  // Emitted without a type by the broker's in-memory persistence; unheard it would end the process.
  (broker as NodeJS.EventEmitter).on('error', (error) => log.error({ err: error }, 'the broker failed'));
  return broker;
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

/** Devices live on other machines, so a plain listener is a normal need; but their digests can then be read on the way. */
function warnOfPlain({ mqtt }: Config, log: Log): void {
  if (isLoopback(mqtt.host)) return;
  log.warn(
    { mqtt: formatAddress(mqtt) },
    'plain MQTT can be reached from other machines: whoever reads it on the way can replay a password with sign type 0 ' +
      'until its credential is reset, and one with sign type 1 for its hour; let devices use --mqtts',
  );
}

function checkIdentity({ mqtts }: Config): void {
  if (mqtts === undefined) return;
  try {
    createSecureContext(mqtts.identity);
  } catch (error) {
    throw new SettingsError('--tls-cert and --tls-key hold no certificate chain and the private key that fits it', {
      cause: error,
    });
  }
}
