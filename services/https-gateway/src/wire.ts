import { DevicePace, listenOn, MESSAGES_A_SECOND, onHangup, openGateway } from '@latchkey/gateway-kit';
import { openUpstream } from '@latchkey/gateway-kit/upstream';
import { type Allowance, systemClock, systemRandom } from '@latchkey/kernel';
import { Counter, createRegistry, formatAddress, type Log, type Running } from '@latchkey/runtime';
import { type Admit, createAdmission } from './admit.ts';
import { BodyMemory } from './body.ts';
import type { Config } from './config.ts';
import { type ListenerOptions, openListeners } from './listener.ts';
import { type RespondOptions, respond } from './respond.ts';

/** All headers must have arrived within: they fit in a packet or two. */
const HEADERS_DEADLINE_MS = 10_000;

/** A body must arrive within: a megabyte takes 30 s at 280 kbit/s. */
const BODY_DEADLINE_MS = 30_000;

/** Bodies that are being read or passed on: 128 of the longest, or very many of a usual size. */
const MAX_BODIES_BYTES = 134_217_728;

const clock = systemClock;
const random = systemRandom;

/** What a test may shorten. */
export type Deadlines = {
  /** How much a device may report. */
  readonly pace?: Allowance;
  readonly headersMs?: number;
  readonly bodyMs?: number;
  readonly bodiesBytes?: number;
  readonly decisionMs?: number;
  readonly publishMs?: number;
  readonly holdMs?: number;
};

/** Builds the HTTPS gateway from top to bottom and starts it. Rejects with a SettingsError when the settings cannot be. */
export async function startHttpsGateway(config: Config, log: Log, deadlines: Deadlines = {}): Promise<Running> {
  const { http, auth, limits } = config;
  const https = config.https && { ...config.https, identity: config.https.identity() };
  const { headersMs = HEADERS_DEADLINE_MS, bodyMs = BODY_DEADLINE_MS, bodiesBytes = MAX_BODIES_BYTES } = deadlines;
  const registry = createRegistry('https-gateway');
  let isStopping = false;
  const stopping = () => isStopping;
  const upstream = openUpstream({ ...config.upstream, name: 'https', random, log, deadlineMs: deadlines.publishMs });
  const ready = () => upstream.isConnected() && !isStopping;
  const gateway = openGateway({
    registry,
    auth,
    limits,
    log,
    decisionMs: deadlines.decisionMs,
    holdMs: deadlines.holdMs,
    ready,
  });
  const memory = new BodyMemory(bodiesBytes);
  const pace = new DevicePace(deadlines.pace ?? MESSAGES_A_SECOND, clock.monotonic);
  const admit = createAdmission({ ...gateway, upstream, memory, pace, clock, log, bodyMs });
  const serve = server(admit, { random, stopping, log }, answerCounter(registry));
  const release = async () => {
    gateway.close();
    await upstream.close();
  };
  try {
    const probed = await listenOn(gateway.probes, '--metrics', config.metrics);
    const { connections } = gateway;
    const listeners = await openListeners({ https, http, connections, headersMs, serve, log });
    const again = config.https?.identity;
    const stopRenewing = onHangup(
      {
        'the TLS certificate': again && (() => listeners.renew(again())),
        'the TLS of the way to the broker': config.upstream.tls && upstream.renew,
      },
      log,
    );
    return {
      ready: {
        ...(listeners.https && { https: `https://${formatAddress(listeners.https)}` }),
        ...(listeners.http && { http: `http://${formatAddress(listeners.http)}` }),
        metrics: formatAddress(probed),
      },
      drainMs: limits.drainMs,
      stop: async () => {
        isStopping = true;
        stopRenewing();
        await listeners.stop(limits.drainMs, gateway.drain);
        await release();
      },
    };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Admits and answers; what is still under way when its device hangs up is given up. */
function server(
  admit: Admit,
  options: RespondOptions & { readonly log: Log },
  count: (status: number) => void,
): ListenerOptions['serve'] {
  return (request, response) => {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    response.once('error', () => gone.abort());
    admit(request, gone.signal)
      .then((outcome) => {
        if (!gone.signal.aborted) count(respond(request, response, outcome, options));
      })
      .catch((error: unknown) => {
        options.log.error({ err: error }, 'an answer failed'); // its stream has just ended, perhaps
        request.destroy();
      });
  };
}

function answerCounter(registry: ReturnType<typeof createRegistry>): (status: number) => void {
  const answers = new Counter({
    name: 'latchkey_https_answers_total',
    help: 'Answers to devices, by status',
    labelNames: ['status'],
    registers: [registry],
  });
  return (status) => answers.inc({ status });
}
