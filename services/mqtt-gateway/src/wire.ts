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
import { createRegistry, formatAddress, isLoopback, type Log, type Running, SettingsError } from '@latchkey/runtime';
import { createAdmission } from './admit.ts';
import type { Config } from './config.ts';
import { openEmbedded } from './embedded/embedded.ts';
import { openFrontDoor } from './front-door/front-door.ts';
import { openListeners } from './listener.ts';

/** CONNECT must arrive within: a device sends it at once, and a slow network delays it by seconds. */
const CONNECT_DEADLINE_MS = 10_000;

const clock = systemClock;
const random = systemRandom;

/** What a test may shorten. */
export type Deadlines = { readonly connectMs?: number; readonly decisionMs?: number; readonly upstreamMs?: number };

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
    addresses: config.auth,
    clock,
    random,
    metrics,
    log,
    ...(decisionMs === undefined ? {} : { deadlineMs: decisionMs }),
  });
  const watcher = new ChangeWatcher({ auth, sessions, closings, metrics, clock, random, log });
  const admit = createAdmission({ auth, watcher, sessions, metrics, clock, log });
  const connectMs = deadlines.connectMs ?? CONNECT_DEADLINE_MS;
  const shared = { admit, registry, connectMs, monotonic, log };
  const door =
    config.upstream === undefined
      ? openEmbedded({ ...shared, sessions })
      : openFrontDoor({ ...shared, upstream: config.upstream, upstreamMs: deadlines.upstreamMs });
  const probes = metricsListener(registry, () => watcher.placed);

  watcher.start();
  const release = async () => {
    watcher.stop();
    auth.close();
    probes.closeAllConnections();
    probes.close();
    await door.close();
  };
  try {
    const probed = await listenOn(probes, '--metrics', config.metrics);
    const { mqtt, mqtts, maxConnections } = config;
    const listeners = await openListeners({ mqtt, mqtts, maxConnections, accept: door.accept, log });
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
