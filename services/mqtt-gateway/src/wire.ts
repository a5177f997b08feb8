import { createSecureContext } from 'node:tls';
import { listenOn, openGateway } from '@latchkey/gateway-kit';
import { systemClock } from '@latchkey/kernel';
import { createRegistry, formatAddress, isLoopback, type Log, type Running, SettingsError } from '@latchkey/runtime';
import { createAdmission } from './admit.ts';
import type { Config } from './config.ts';
import { openEmbedded } from './embedded/embedded.ts';
import { openListeners } from './listener.ts';

/** CONNECT must arrive within: a device sends it at once, and a slow network delays it by seconds. */
const CONNECT_DEADLINE_MS = 10_000;

/** What a test may shorten. */
export type Deadlines = { readonly connectMs?: number; readonly decisionMs?: number };

/** Builds the MQTT gateway from top to bottom and starts it. Rejects with a SettingsError when the settings cannot be. */
export async function startMqttGateway(config: Config, log: Log, deadlines: Deadlines = {}): Promise<Running> {
  checkIdentity(config);
  const registry = createRegistry('mqtt-gateway');
  const { limits } = config;
  const { decisionMs, connectMs = CONNECT_DEADLINE_MS } = deadlines;
  const gateway = openGateway({ registry, auth: config.auth, limits, log, decisionMs });
  const { connections, sessions } = gateway;
  const admit = createAdmission({ ...gateway, clock: systemClock, log });
  const { monotonic } = systemClock;
  const door = openEmbedded({ admit, sessions, registry, connectMs, monotonic, log });
  const release = async () => {
    gateway.close();
    await door.close();
  };
  try {
    const probed = await listenOn(gateway.probes, '--metrics', config.metrics);
    const { mqtt, mqtts } = config;
    const listeners = await openListeners({ mqtt, mqtts, connections, accept: door.accept, log });
    warnOfPlain(config, log);
    return {
      ready: {
        mqtt: formatAddress(listeners.mqtt),
        ...(listeners.mqtts && { mqtts: formatAddress(listeners.mqtts) }),
        metrics: formatAddress(probed),
      },
      drainMs: limits.drainMs,
      stop: async () => {
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
