import { connect, type MqttClient } from 'mqtt';
import { digestOf, HOUR } from './digest.ts';
import { type Decision, nowUs, type Session } from './history.ts';

/** How long a device waits for its CONNACK: longer than any fault that stops a gateway or what it asks. */
const CONNECT_DEADLINE_MS = 8_000;

/** Seconds. No ping within a session of this tool: it shows what closes a link, not what keeps it open. */
const KEEPALIVE_S = 600;

/** CONNACK return codes of a decision (docs/reasons.md): wrong credentials, and a right proof of a frozen device. */
const DENIALS: readonly number[] = [4, 5];

/** 3 says that nobody could decide. */
const NOT_AVAILABLE = 3;

/** A link that a gateway let in. */
export type Link = {
  readonly session: Session;
  /** Resolves when it has ended. */
  readonly closed: Promise<void>;
  /** Ends it from the device's side. */
  readonly end: () => Promise<void>;
};

/** What came of a CONNECT; the link if it was granted, and the return code otherwise. */
export type Connected = { readonly attempt: Decision; readonly detail: string; readonly link: Link | undefined };

/** Who connects, where, and with what. */
export type ConnectOptions = {
  readonly device: number;
  readonly deviceId: string;
  readonly gateway: number;
  readonly port: number;
  /** The change that made the secret, and the secret itself. */
  readonly secret: number;
  readonly text: string;
};

/** One CONNECT of one device. A gateway that is away, or that does not answer in time, is no decision. Never rejects. */
export async function connectTo(options: ConnectOptions): Promise<Connected> {
  const { device, gateway, secret } = options;
  const client = clientOf(options);
  let beginUs = nowUs();
  client.once('packetsend', () => {
    beginUs = nowUs(); // the first packet is CONNECT, and it is about to be written
  });
  const code = await answerTo(client);
  const endUs = nowUs();
  const about = { device, by: `gateway ${gateway}`, secret, beginUs, endUs, decidedUs: undefined, revision: undefined };
  const attempt = (outcome: Decision['outcome']): Decision => ({ ...about, outcome });
  if (code === 0) {
    const session = { device, gateway, secret, beginUs, openUs: endUs, closeUs: undefined, kicked: false };
    return { attempt: attempt('GRANTED'), detail: '', link: linkOf(client, session) };
  }
  client.end(true);
  if (code === undefined) return { attempt: attempt('NONE'), detail: 'no CONNACK', link: undefined };
  const isDenial = DENIALS.includes(code);
  if (!isDenial && code !== NOT_AVAILABLE) throw new Error(`CONNACK ${code} to a CONNECT that is well formed`);
  return { attempt: attempt(isDenial ? 'DENIED' : 'NONE'), detail: `CONNACK ${code}`, link: undefined };
}

function clientOf({ deviceId, port, text }: ConnectOptions): MqttClient {
  return connect({
    host: '127.0.0.1',
    port,
    protocolVersion: 4,
    clientId: `${deviceId}_0_0_${HOUR}`,
    username: deviceId,
    password: digestOf(text),
    keepalive: KEEPALIVE_S,
    connectTimeout: CONNECT_DEADLINE_MS,
    reconnectPeriod: 0,
  });
}

/** The CONNACK's return code; undefined: the connection ended without one. */
function answerTo(client: MqttClient): Promise<number | undefined> {
  return new Promise((resolve) => {
    client.once('connect', () => resolve(0));
    client.once('close', () => resolve(undefined));
    client.on('error', (error) => resolve('code' in error && typeof error.code === 'number' ? error.code : undefined));
  });
}

function linkOf(client: MqttClient, session: Session): Link {
  let ending = false;
  const closed = new Promise<void>((resolve) => {
    client.once('close', () => {
      session.closeUs = nowUs();
      session.kicked = !ending;
      resolve();
    });
  });
  const end = () => {
    ending = true;
    client.end(true);
    return closed;
  };
  return { session, closed, end };
}
