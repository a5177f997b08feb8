import type { Socket } from 'node:net';
import { type CloseCause, MESSAGES_A_SECOND, type Session, type SessionTable } from '@latchkey/gateway-kit';
import { Counter, type Log, type Registry } from '@latchkey/runtime';
import type { IConnectPacket } from 'mqtt-packet';
import type { Admit } from '../admit.ts';
import { answerTo } from '../answer.ts';
import type { Door } from '../listener.ts';
import { openIngress } from './ingress.ts';
import type { IngressCredential } from './ingress-config.ts';
import { Link, type LinkOptions, type Verdict } from './link.ts';
import type { Drop } from './outbox.ts';
import { REASON, reasonOf } from './reason.ts';
import { Router } from './router.ts';
import type { Pace } from './valve.ts';

/** What the vendor allows a device (IoTDA, "Limitations"): 50 messages and 1 MB in a second. */
const DEVICE_PACE: Pace = { messages: MESSAGES_A_SECOND.burst, bytes: 1_048_576 };

/** What the embedded broker needs. */
export type EmbeddedOptions = {
  readonly admit: Admit;
  readonly sessions: SessionTable;
  readonly registry: Registry;
  /** What applications and other gateways log in with; undefined: they cannot. */
  readonly credential: IngressCredential | undefined;
  /** CONNECT must arrive within this time. */
  readonly connectMs: number;
  readonly monotonic: () => number;
  readonly log: Log;
};

/** The broker's doors: one for devices, and one for applications and other gateways if it has a credential. */
export type Embedded = { readonly devices: Door; readonly ingress: Door['accept'] | undefined };

/** The broker in this process: devices that were let in publish and subscribe here. */
export function openEmbedded(options: EmbeddedOptions): Embedded {
  const { credential, connectMs, monotonic, log } = options;
  const router = new Router();
  const common = { ...linkMetrics(options.registry, log), connectMs, monotonic, log };
  const devices: Door = {
    accept: (stream, socket) => {
      const link = new Link({
        ...common,
        stream,
        pace: DEVICE_PACE,
        decide: (asking, connect) => decide(options, router, { link: asking, connect, socket }),
        publish: (message, from) => router.publish(message, from),
      });
      return { breach: (breach) => link.breach(breach), dismiss: () => link.end(REASON.SERVER_SHUTTING_DOWN) };
    },
    close: () => Promise.resolve(),
  };
  return { devices, ingress: credential && openIngress({ ...common, router, credential }) };
}

type Asking = { readonly link: Link; readonly connect: IConnectPacket; readonly socket: Socket };

async function decide(options: EmbeddedOptions, router: Router, { link, connect, socket }: Asking): Promise<Verdict> {
  const { clientId, keepalive: keepaliveS = 0, username, password, properties } = connect;
  const enhanced = properties?.authenticationMethod !== undefined;
  const end = (cause: CloseCause) => link.end(reasonOf(cause));
  const seen = { conn: socket, isOpen: () => link.isOpen, close: end };
  const outcome = await options.admit(seen, { clientId, keepaliveS, enhanced, username, password });
  if (outcome.decision !== 'GRANTED') return { outcome: 'REFUSED', answer: answerTo(outcome) };
  const { deviceId, session } = outcome;
  closeOlderLinks(options.sessions, session);
  const isOwn = (topic: string) => topic.startsWith(`$oc/devices/${deviceId}/`);
  return {
    outcome: 'OPEN',
    rights: { mayPublish: isOwn, maySubscribe: isOwn },
    opened: (recipient) => {
      router.addDevice(deviceId, recipient);
      socket.once('close', () => router.removeDevice(deviceId, recipient));
    },
  };
}

/** One link per device, and the new one wins, now that it is granted (IoTDA, offline analysis). */
function closeOlderLinks(sessions: SessionTable, session: Session): void {
  sessions.close(
    sessions.ofDevice(session.deviceId).filter((other) => other !== session),
    'REPLACED',
  );
}

function linkMetrics(registry: Registry, log: Log): Pick<LinkOptions, 'refused' | 'dropped'> {
  const registers = [registry];
  const refused = new Counter({
    name: 'latchkey_mqtt_topics_refused_total',
    help: "Publishes dropped and subscriptions refused, outside of a link's topics or over its bounds",
    labelNames: ['operation'],
    registers,
  });
  const dropped = new Counter({
    name: 'latchkey_mqtt_messages_dropped_total',
    help: 'Messages that did not go out: a link takes too little (SLOW) or none so large (TOO_LARGE), or their time was over (EXPIRED)',
    labelNames: ['cause'],
    registers,
  });
  return {
    refused: (operation, topic) => {
      refused.inc({ operation });
      log.debug({ operation, topic }, 'topic refused');
    },
    dropped: (cause: Drop) => dropped.inc({ cause }),
  };
}
