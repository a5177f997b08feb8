import { type DtlsServer, type Failure, listenDtls, type ServerCertificate } from '@latchkey/dtls';
import type { ConnectionLimits, GatewayMetrics, Limits } from '@latchkey/gateway-kit';
import { type Address, Counter, formatAddress, type Log, type Registry, SettingsError } from '@latchkey/runtime';
import type { Admission, Admitted } from './admit.ts';
import { sourceOf } from './admit.ts';
import { Link, type LinkOptions } from './link.ts';

/** What the listener needs. */
export type ListenerOptions = {
  readonly address: Address;
  /** Undefined: clients with certificates are not served. */
  readonly certificate: ServerCertificate | undefined;
  readonly admission: Admission;
  readonly links: LinkOptions;
  readonly limits: Limits;
  readonly connections: Pick<ConnectionLimits, 'enter'>;
  readonly metrics: GatewayMetrics;
  readonly registry: Registry;
  readonly log: Log;
};

/** Opens the DTLS listener. Rejects with a SettingsError. */
export async function openListener(options: ListenerOptions): Promise<DtlsServer<Admitted>> {
  const { address, certificate, admission, links, limits, connections, log } = options;
  try {
    const server = await listenDtls<Admitted>(
      {
        derive: admission.derive,
        admit: admission.admit,
        ...(certificate === undefined ? {} : { certificate }),
        onSession: (session) => {
          const leave = connections.enter(session.peer.address);
          if (leave === undefined) {
            session.close();
            return { message: () => {}, closed: () => {} };
          }
          const { message, closed } = new Link(links, session).open();
          return {
            message,
            closed: (reason) => {
              leave();
              closed(reason);
            },
          };
        },
        onFailure: (failure) => failed(options, failure),
        onError: (error) => log.error({ err: error }, 'the DTLS listener met an error'),
        limits: { sessions: limits.connections, handshakes: limits.decisions },
      },
      address,
    );
    countEvents(server, options.registry);
    return server;
  } catch (error) {
    if (error instanceof RangeError)
      throw new SettingsError('--tls-key: EC on P-256 or P-384, or RSA', { cause: error });
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new SettingsError(`--coaps ${formatAddress(address)} cannot be listened on (${code})`, { cause: error });
  }
}

/** What was refused by a decision, or found none, is counted there. */
function failed({ metrics, log }: ListenerOptions, { reason, peer, identity, message }: Failure): void {
  const about = { reason, source: sourceOf(peer.address), identity: identity?.toString('latin1') };
  log.debug(about, `a handshake failed: ${message}`);
  if (reason !== 'REFUSED' && reason !== 'NO_DECISION') metrics.decided({ decision: 'REFUSED', why: reason });
}

function countEvents(server: DtlsServer<Admitted>, registry: Registry): void {
  new Counter({
    name: 'latchkey_coap_dtls_events_total',
    help: 'What the DTLS listener did: cookies, handshakes and their outcomes, hellos without place, records of nobody, datagrams unsent',
    labelNames: ['event'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [event, count] of Object.entries(server.counters)) this.inc({ event }, count);
    },
  });
}
