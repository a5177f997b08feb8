import { type Gateway, listenOn, onHangup, openGateway } from '@latchkey/gateway-kit';
import { openUpstream } from '@latchkey/gateway-kit/upstream';
import { systemClock, systemRandom } from '@latchkey/kernel';
import {
  type Address,
  createRegistry,
  formatAddress,
  Gauge,
  type Log,
  type Registry,
  type Running,
} from '@latchkey/runtime';
import { createAdmission } from './admit.ts';
import { ByteBudget } from './coap/byte-budget.ts';
import type { Config } from './config.ts';
import { createDownlink, DOWNLINK_FILTERS } from './downlink.ts';
import { openListener } from './listener.ts';
import { openPlainListener, type PlainListener, type PlainListenerOptions } from './plain/listener.ts';
import { createPlain, type PlainOptions } from './plain/serve.ts';
import { Tokens } from './plain/tokens.ts';
import { Receivers } from './receivers.ts';

/** A client with a certificate says at once which device it is; a slow network delays it by seconds. */
const NAMING_DEADLINE_MS = 30_000;

/** Bodies that are being put together: 1,024 of the longest, or very many of a usual size. */
const MAX_BLOCKS_BYTES = 67_108_864;

/** What waits to be sent to devices: 16,384 messages of the longest. */
const MAX_WAITING_BYTES = 16_777_216;

const clock = systemClock;
const random = systemRandom;

/** What a test may shorten. */
export type Deadlines = {
  readonly namingMs?: number;
  readonly decisionMs?: number;
  readonly publishMs?: number;
};

/** Builds the CoAP gateway from top to bottom and starts it. Rejects with a SettingsError when the settings cannot be. */
export async function startCoapGateway(config: Config, log: Log, deadlines: Deadlines = {}): Promise<Running> {
  const { auth, limits, coaps: address } = config;
  const certificate = config.certificate?.();
  const registry = createRegistry('coap-gateway');
  const receivers = new Receivers();
  countReceivers(receivers, registry);
  const message = createDownlink({ receivers, upstream: () => upstream, registry, log });
  const upstream = openUpstream({
    ...{ ...config.upstream, name: 'coap', random, log, deadlineMs: deadlines.publishMs },
    receive: { filters: DOWNLINK_FILTERS, message },
  });
  const ready = () => upstream.isConnected();
  const gateway = openGateway({ registry, auth, limits, log, decisionMs: deadlines.decisionMs, ready });
  const { sessions, metrics, connections } = gateway;
  const admission = createAdmission({ ...gateway, clock, log });
  const memory = new ByteBudget(MAX_BLOCKS_BYTES);
  const waiting = new ByteBudget(MAX_WAITING_BYTES);
  const { namingMs = NAMING_DEADLINE_MS } = deadlines;
  const shared = { sessions, upstream, receivers, memory, waiting, clock, random, log };
  const links = { ...shared, admission, refused: metrics.decided, namingMs };
  let plain: PlainListener | undefined;
  const release = async () => {
    await plain?.close();
    gateway.close();
    await upstream.close();
  };
  try {
    const probed = await listenOn(gateway.probes, '--metrics', config.metrics);
    plain = config.coap && (await openPlain(config.coap, gateway, { upstream, memory, connections, log }));
    const dtls = { admission, links, limits, connections, metrics, registry, log };
    const server = await openListener({ address, certificate, ...dtls });
    const again = config.certificate;
    const stopRenewing = onHangup(
      {
        'the TLS certificate': again && (() => server.renew(again())),
        'the TLS of the way to the broker': config.upstream.tls && upstream.renew,
      },
      log,
    );
    return {
      ready: {
        coaps: `coaps://${formatAddress(server.address)}`,
        ...(plain && { coap: `coap://${formatAddress(plain.address)}` }),
        metrics: formatAddress(probed),
      },
      drainMs: limits.drainMs,
      stop: async () => {
        stopRenewing();
        await gateway.drain();
        await server.close();
        await release();
      },
    };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Opens plain CoAP, and says so where nobody misses it. */
async function openPlain(
  address: Address,
  gateway: Gateway,
  shared: Pick<PlainListenerOptions, 'memory' | 'connections' | 'log'> & Pick<PlainOptions, 'upstream'>,
): Promise<PlainListener> {
  const tokens = new Tokens(clock.monotonic, random);
  const serve = createPlain({ ...gateway, ...shared, tokens, clock });
  const listener = await openPlainListener({ ...shared, address, serve, clock, random });
  shared.log.warn(
    { listener: formatAddress(listener.address) },
    'PLAIN CoAP IS ON: whoever reads it on the way can report as a device with its token for an hour, and log in with its ' +
      'password at other gateways while the hour that it names is good; let devices use --coaps',
  );
  return listener;
}

function countReceivers(receivers: Receivers, registry: Registry): void {
  new Gauge({
    name: 'latchkey_coap_receivers',
    help: 'Devices that take what is sent to them: registered, or observing',
    registers: [registry],
    collect() {
      this.set(receivers.size);
    },
  });
}
