import { openGateway } from '@latchkey/gateway-kit';
import { type DeviceId, systemClock } from '@latchkey/kernel';
import { DenyReason } from '@latchkey/protocol/v1';
import { createLog, createRegistry, type Log } from '@latchkey/runtime';
import type { Admission, Admitted, Device } from './admit.ts';
import { ByteBudget } from './coap/byte-budget.ts';
import { METHOD, OPTION } from './coap/codes.ts';
import { decodeMessage, encodeMessage, type Message } from './coap/message.ts';
import { textOption } from './coap/options.ts';
import { Link } from './link.ts';
import { Receivers } from './receivers.ts';
import { LIMITS, until } from './test-bench.ts';

const NO_BYTES = Buffer.alloc(0);
/** What goes wrong is printed. */
export const log = createLog({ service: 'test', level: 'error' });
// No auth service is there: what of it the links use is given by the tests.
const auth = [{ host: '127.0.0.1', port: 1 }];
const gateway = openGateway({ registry: createRegistry('test'), auth, limits: LIMITS, log });
/** The sessions of all links. */
export const { sessions } = gateway;
/** To be called at the end. */
export const closeGateway = gateway.close;

/** A device that was let in by its secret. */
export function granted(deviceId: string): Device {
  const grant = {
    decision: 'GRANTED',
    credentialId: 'c',
    revision: 1n,
    basis: NO_BYTES,
    expiresAtMs: undefined,
  } as const;
  const identity = Buffer.from(deviceId);
  return { kind: 'DEVICE', deviceId: deviceId as DeviceId, identity, grant, askedAtMs: systemClock.monotonic() };
}

/** A client with a certificate. */
export const nameless: Admitted = { kind: 'NAMELESS', proof: { kind: { case: 'certificate', value: { chain: [] } } } };
const denied = { decision: 'DENIED', reason: DenyReason.FINGERPRINT_MISMATCH } as const;

type Asked = Partial<Pick<Message, 'code' | 'options'>> & {
  readonly query?: readonly string[];
  readonly payload?: string;
};

type Given = {
  readonly name?: Admission['name'];
  readonly namingMs?: number;
  readonly receivers?: Receivers;
  readonly budget?: ByteBudget;
  readonly log?: Log;
};

/** A link over a session that only counts, with what it sent and what went upstream. */
export function linked(grant: Admitted, options: Given = {}) {
  const { budget = new ByteBudget(20_000) } = options;
  const sent: Message[] = [];
  const upstream: string[] = [];
  let isAway = false;
  let isOpen = true;
  let nextId = 1;
  const session = {
    ...{ grant, suite: '', peer: { address: '127.0.0.1', port: 1 }, hasConnectionId: false, maxDataBytes: 1_200 },
    send: (datagram: Uint8Array) => {
      const decoded = decodeMessage(Buffer.from(datagram));
      if (decoded.kind === 'MESSAGE') sent.push(decoded.message);
      return true;
    },
    close: () => {
      if (!isOpen) return;
      isOpen = false;
      handlers.closed('CLOSED_HERE');
    },
  };
  const link = new Link(
    {
      admission: { name: options.name ?? (async () => denied) },
      upstream: {
        publish: async (topic, payload) => {
          if (isAway) return 'FAILED';
          upstream.push(`${topic} ${payload}`);
          return 'ACKNOWLEDGED';
        },
      },
      ...{ receivers: options.receivers ?? new Receivers(), waiting: budget, memory: budget },
      ...{ sessions, refused: () => {}, clock: systemClock, log: options.log ?? log },
      ...{ random: (size: number) => Buffer.alloc(size, 7), namingMs: options.namingMs ?? 10_000 },
    },
    session,
  );
  let handlers: ReturnType<Link['open']> = { message: () => {}, closed: () => {} };
  handlers = link.open();
  const say = (message: Partial<Message>) => {
    const whole = {
      type: 'CON',
      code: METHOD.POST,
      token: NO_BYTES,
      options: [],
      payload: NO_BYTES,
      ...message,
    } as const;
    handlers.message(encodeMessage({ id: nextId++, ...whole }));
  };
  /** Asks and gives the code of the answer. */
  const ask = async (path: string, { query = [], payload = '', options = [], ...message }: Asked = {}) => {
    const count = sent.length;
    const own = path.split('/').map((part) => textOption(OPTION.URI_PATH, part));
    const queries = query.map((part) => textOption(OPTION.URI_QUERY, part));
    say({ ...message, options: [...options, ...own, ...queries], payload: Buffer.from(payload) });
    await until(() => sent.length > count);
    return sent[count]?.code;
  };
  const post = (path: string, query: readonly string[] = [], payload = '') => ask(path, { query, payload });
  return {
    ...{ sent, upstream, say, hear: handlers.message, ask, post, session, isOpen: () => isOpen },
    setAway: (away: boolean) => {
      isAway = away;
    },
  };
}
