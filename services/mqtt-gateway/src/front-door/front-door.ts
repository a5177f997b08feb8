import { Counter, type Log, type Registry } from '@latchkey/runtime';
import type { Admit } from '../admit.ts';
import { answerTo, answerToUpstream, BAD_VERSION } from '../answer.ts';
import { REASON } from '../embedded/reason.ts';
import type { Door } from '../listener.ts';
import { readConnect } from './connect-packet.ts';
import { Relay } from './relay.ts';
import { type Failure, type Upstream, type UpstreamConfig, upstreamOf } from './upstream.ts';

/** A broker answers in milliseconds, one that starts anew in seconds; devices give up after some ten. */
const UPSTREAM_DEADLINE_MS = 5_000;

/** While the broker is away every device that comes fails; the log says so once in this time, the metric counts. */
const TELL_EVERY_MS = 60_000;

/** What the front door needs. */
export type FrontDoorOptions = {
  readonly admit: Admit;
  readonly upstream: UpstreamConfig;
  readonly registry: Registry;
  /** CONNECT must arrive within this time. */
  readonly connectMs: number;
  /** From the dialling of the broker to its CONNACK; 5 s if not said. */
  readonly upstreamMs: number | undefined;
  readonly monotonic: () => number;
  readonly log: Log;
};

/** A door whose way to the broker may take its files of TLS anew. */
export type FrontDoor = Door & Pick<Upstream, 'renew'>;

/**
 * The door to a broker elsewhere: decides on CONNECT, sends it there under the gateway's login, and passes bytes from then
 * on (docs/adr/0018-front-door.md).
 */
export function openFrontDoor(options: FrontDoorOptions): FrontDoor {
  const { admit, connectMs, log } = options;
  const { greet, renew } = upstreamOf(options.upstream, options.upstreamMs ?? UPSTREAM_DEADLINE_MS);
  const failed = failureTeller(options);

  const serve = async (relay: Relay): Promise<void> => {
    const { device } = relay;
    const late = setTimeout(() => device.destroy(), connectMs);
    const packet = await relay.connect;
    clearTimeout(late);
    const reading = packet && readConnect(packet);
    if (reading === undefined || reading.outcome === 'MALFORMED') return void device.destroy();
    if (reading.outcome === 'VERSION') return relay.refuse(BAD_VERSION);

    const { connect } = reading;
    relay.speak(connect.version);
    const outcome = await admit(relay, connect);
    if (outcome.decision !== 'GRANTED') return relay.refuse(answerTo(outcome));

    const answer = await greet(connect, outcome.deviceId, device);
    if (!relay.isOpen()) return void ('socket' in answer && answer.socket.destroy());
    if ('failure' in answer) {
      failed(answer);
      return relay.refuse(answerToUpstream(answer.failure));
    }
    relay.join(answer);
  };

  return {
    accept: (stream, socket) => {
      const relay = new Relay(stream, socket);
      serve(relay).catch((error: unknown) => {
        log.error({ err: error }, 'a link failed');
        stream.destroy();
      });
      return {
        breach: (breach) => relay.end(breach === 'TOO_LONG' ? REASON.PACKET_TOO_LARGE : REASON.MALFORMED_PACKET),
        dismiss: () => relay.end(REASON.SERVER_SHUTTING_DOWN),
      };
    },
    close: () => Promise.resolve(),
    renew,
  };
}

function failureTeller({ registry, monotonic, log }: FrontDoorOptions): (failure: Failure) => void {
  const failures = new Counter({
    name: 'latchkey_mqtt_upstream_failures_total',
    help: 'Granted links that the broker behind the gateway did not take, by cause',
    labelNames: ['cause'],
    registers: [registry],
  });
  let toldAtMs = Number.NEGATIVE_INFINITY;
  return ({ failure, code, error }) => {
    failures.inc({ cause: failure });
    const now = monotonic();
    if (now - toldAtMs < TELL_EVERY_MS) return;
    toldAtMs = now;
    log.error({ cause: failure, code, err: error }, 'the upstream broker did not take a link');
  };
}
