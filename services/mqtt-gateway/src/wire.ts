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
import { type Address, createRegistry, formatAddress, isLoopback, type Log, type Running } from '@latchkey/runtime';
import { createAdmission } from './admit.ts';
import type { Config } from './config.ts';
import { type Embedded, openEmbedded } from './embedded/embedded.ts';
import { MAX_INGRESS_LINKS } from './embedded/ingress.ts';
import { openFrontDoor } from './front-door/front-door.ts';
import { type ListenerPlan, type Listeners, openListeners } from './listener.ts';

/** CONNECT must arrive within: a device sends it at once, and a slow network delays it by seconds. */
const CONNECT_DEADLINE_MS = 10_000;

const clock = systemClock;
const random = systemRandom;

/** What a test may shorten. */
export type Deadlines = { readonly connectMs?: number; readonly decisionMs?: number; readonly upstreamMs?: number };

/** Builds the MQTT gateway from top to bottom and starts it. Rejects with a SettingsError when the settings cannot be. */
export async function startMqttGateway(config: Config, log: Log, deadlines: Deadlines = {}): Promise<Running> {
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
  const { upstream, ingress } = config;
  const shared = { admit, registry, connectMs, monotonic, log };
  const doors: Embedded =
    upstream === undefined
      ? openEmbedded({ ...shared, sessions, credential: ingress?.credential })
      : { devices: openFrontDoor({ ...shared, upstream, upstreamMs: deadlines.upstreamMs }), ingress: undefined };
  const probes = metricsListener(registry, () => watcher.placed);

  watcher.start();
  const release = async () => {
    watcher.stop();
    auth.close();
    probes.closeAllConnections();
    probes.close();
    await doors.devices.close();
  };
  try {
    const probed = await listenOn(probes, '--metrics', config.metrics);
    const plans = plansOf(config, doors);
    const identity = config.identity?.();
    const listeners = await openListeners(plans, { identity, log });
    const forget = onHangup(config, listeners, log);
    warnOfPlain(config, log);
    const open = plans.map(({ flag }, index) => [flag.slice(2), listeners.addresses[index]] as const);
    return {
      ready: {
        ...Object.fromEntries(open.map(([name, address]) => [name, address && formatAddress(address)])),
        metrics: formatAddress(probed),
      },
      stop: async () => {
        forget();
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
function warnOfPlain({ mqtt, ws }: Config, log: Log): void {
  const reached = [mqtt, ...(ws === undefined ? [] : [ws])].filter(({ host }) => !isLoopback(host));
  if (reached.length === 0) return;
  log.warn(
    { listeners: reached.map(formatAddress) },
    'plain MQTT can be reached from other machines: whoever reads it on the way can replay a password with sign type 0 ' +
      'until its credential is reset, and one with sign type 1 for its hour; let devices use --mqtts',
  );
}

function plansOf({ mqtt, mqtts, ws, wss, ingress, maxConnections }: Config, doors: Embedded): readonly ListenerPlan[] {
  const forDevices = (flag: string, address: Address | undefined, kind: { tls: boolean; webSocket: boolean }) =>
    address === undefined ? [] : [{ flag, address, ...kind, maxConnections, accept: doors.devices.accept }];
  const atIngress =
    ingress === undefined || doors.ingress === undefined
      ? []
      : [
          {
            flag: '--ingress',
            address: ingress.address,
            ...{ tls: ingress.tls, webSocket: false },
            maxConnections: MAX_INGRESS_LINKS,
            accept: doors.ingress,
          },
        ];
  return [
    ...forDevices('--mqtt', mqtt, { tls: false, webSocket: false }),
    ...forDevices('--mqtts', mqtts, { tls: true, webSocket: false }),
    ...forDevices('--ws', ws, { tls: false, webSocket: true }),
    ...forDevices('--wss', wss, { tls: true, webSocket: true }),
    ...atIngress,
  ];
}

/** SIGHUP is the customary word for "read your files again". The returned function takes the listener away. */
function onHangup({ identity }: Config, listeners: Listeners, log: Log): () => void {
  const renew = () => {
    try {
      if (identity !== undefined) listeners.renew(identity());
      log.info({}, 'the TLS certificate was read again');
    } catch (error) {
      log.error({ err: error }, 'the TLS certificate stays as it was');
    }
  };
  process.on('SIGHUP', renew);
  return () => process.off('SIGHUP', renew);
}
