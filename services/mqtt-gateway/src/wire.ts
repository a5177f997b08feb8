import { type ConnectionLimits, listenOn, onHangup, openGateway } from '@latchkey/gateway-kit';
import { systemClock } from '@latchkey/kernel';
import { type Address, createRegistry, formatAddress, isLoopback, type Log, type Running } from '@latchkey/runtime';
import { createAdmission } from './admit.ts';
import type { Config } from './config.ts';
import { type Embedded, openEmbedded } from './embedded/embedded.ts';
import { MAX_INGRESS_LINKS } from './embedded/ingress.ts';
import { openFrontDoor } from './front-door/front-door.ts';
import { type ListenerPlan, openListeners } from './listener.ts';

/** CONNECT must arrive within: a device sends it at once, and a slow network delays it by seconds. */
const CONNECT_DEADLINE_MS = 10_000;

/** What a test may shorten. */
export type Deadlines = {
  readonly connectMs?: number;
  readonly decisionMs?: number;
  readonly upstreamMs?: number;
  /** How long the answer to a device that fails too often is held back. */
  readonly holdMs?: number;
};

/** Builds the MQTT gateway from top to bottom and starts it. Rejects with a SettingsError when the settings cannot be. */
export async function startMqttGateway(config: Config, log: Log, deadlines: Deadlines = {}): Promise<Running> {
  const registry = createRegistry('mqtt-gateway');
  const { limits } = config;
  const { decisionMs, holdMs, connectMs = CONNECT_DEADLINE_MS } = deadlines;
  const gateway = openGateway({ registry, auth: config.auth, limits, log, decisionMs, holdMs });
  const { sessions, connections } = gateway;
  const { monotonic } = systemClock;
  const admit = createAdmission({ ...gateway, clock: systemClock, log });
  const { upstream, ingress } = config;
  const shared = { admit, registry, connectMs, monotonic, log };
  const frontDoor = upstream && openFrontDoor({ ...shared, upstream, upstreamMs: deadlines.upstreamMs });
  const doors: Embedded =
    frontDoor === undefined
      ? openEmbedded({ ...shared, sessions, credential: ingress?.credential })
      : { devices: frontDoor, ingress: undefined };
  const release = async () => {
    gateway.close();
    await doors.devices.close();
  };
  try {
    const probed = await listenOn(gateway.probes, '--metrics', config.metrics);
    const plans = plansOf(config, doors, connections);
    const { identity } = config;
    const listeners = await openListeners(plans, { identity: identity?.(), log });
    const forget = onHangup(
      {
        'the TLS certificate': identity && (() => listeners.renew(identity())),
        'the TLS of the way to the broker': upstream?.tls && frontDoor?.renew,
      },
      log,
    );
    warnOfPlain(config, log);
    const open = plans.map(({ flag }, index) => [flag.slice(2), listeners.addresses[index]] as const);
    return {
      ready: {
        ...Object.fromEntries(open.map(([name, address]) => [name, address && formatAddress(address)])),
        metrics: formatAddress(probed),
      },
      drainMs: limits.drainMs,
      stop: async () => {
        forget();
        await listeners.stop(gateway.drain);
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

function plansOf(
  { mqtt, mqtts, ws, wss, ingress }: Config,
  doors: Embedded,
  connections: ConnectionLimits,
): readonly ListenerPlan[] {
  const forDevices = (flag: string, address: Address | undefined, kind: { tls: boolean; webSocket: boolean }) =>
    address === undefined ? [] : [{ flag, address, ...kind, connections, accept: doors.devices.accept }];
  const atIngress =
    ingress === undefined || doors.ingress === undefined
      ? []
      : [
          {
            flag: '--ingress',
            address: ingress.address,
            ...{ tls: ingress.tls, webSocket: false },
            connections: atMost(MAX_INGRESS_LINKS),
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

/** Applications are no devices: theirs are counted apart. */
function atMost(max: number): Pick<ConnectionLimits, 'enter'> {
  let open = 0;
  const leave = () => {
    open--;
  };
  return {
    enter: () => {
      if (open >= max) return undefined;
      open++;
      return leave;
    },
  };
}
