import { setTimeout as pause } from 'node:timers/promises';
import { openGateway } from '@latchkey/gateway-kit';
import { type DeviceId, systemClock } from '@latchkey/kernel';
import { DenyReason } from '@latchkey/protocol/v1';
import { createLog, createRegistry } from '@latchkey/runtime';
import { afterAll, expect, test } from 'vitest';
import type { Admission, Admitted, Device } from './admit.ts';
import { BlockMemory } from './coap/blocks.ts';
import { METHOD, OPTION, RESPONSE } from './coap/codes.ts';
import { decodeMessage, encodeMessage, type Message } from './coap/message.ts';
import { textOption, uintOption } from './coap/options.ts';
import { Link } from './link.ts';
import { LIMITS, until } from './test-bench.ts';

const NO_BYTES = Buffer.alloc(0);
const log = createLog({ service: 'test', level: 'error' });
// No auth service is there: what of it the links use is given by the tests.
const auth = [{ host: '127.0.0.1', port: 1 }];
const { sessions, close } = openGateway({ registry: createRegistry('test'), auth, limits: LIMITS, log });
afterAll(close);

function granted(deviceId: string): Device {
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

const nameless: Admitted = { kind: 'NAMELESS', proof: { kind: { case: 'certificate', value: { chain: [] } } } };
const denied = { decision: 'DENIED', reason: DenyReason.FINGERPRINT_MISMATCH } as const;

/** A link over a session that only counts, with what it sent and what went upstream. */
function linked(grant: Admitted, options: { readonly name?: Admission['name']; readonly namingMs?: number } = {}) {
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
      ...{ sessions, memory: new BlockMemory(10_000), refused: () => {}, clock: systemClock, log },
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
  /** Posts and gives the code of the answer. */
  const post = async (path: string, query: readonly string[] = [], payload = '') => {
    const count = sent.length;
    const options = path.split('/').map((part) => textOption(OPTION.URI_PATH, part));
    say({
      options: [...options, ...query.map((part) => textOption(OPTION.URI_QUERY, part))],
      payload: Buffer.from(payload),
    });
    await until(() => sent.length > count);
    return sent[count]?.code;
  };
  return {
    ...{ sent, upstream, say, post, session, isOpen: () => isOpen },
    setAway: (away: boolean) => {
      isAway = away;
    },
  };
}

test('a registered device is observed at 19/0/0, and its notifications go upstream as messages', async () => {
  const { post, sent, say, upstream, setAway, session } = linked(granted('observed'));
  expect(await post('rd', ['ep=observed'])).toBe(RESPONSE.CREATED);
  await until(() => sent.length === 2);
  const get = sent[1];
  expect(get).toMatchObject({ type: 'CON', code: METHOD.GET });
  expect(get?.options.map(({ value }) => value.toString())).toEqual(['', '19', '0', '0']);
  const notification = {
    code: RESPONSE.CONTENT,
    token: get?.token ?? NO_BYTES,
    options: [uintOption(OPTION.OBSERVE, 5)],
  };
  say({ ...notification, type: 'ACK', id: get?.id ?? 0, payload: Buffer.from('not reported') });
  setAway(true);
  say({ ...notification, id: 900, payload: Buffer.from('one') });
  await pause(50);
  expect(sent).toHaveLength(2);
  setAway(false);
  say({ ...notification, id: 900, payload: Buffer.from('one') });
  await until(() => sent.length === 3);
  expect(sent[2]).toMatchObject({ type: 'ACK', id: 900, code: 0 });
  expect(upstream).toEqual(['$oc/devices/observed/sys/messages/up one']);
  session.close();
  expect(sessions.ofDevice('observed')).toEqual([]);
});

test('a kick ends the session, and nothing of it is passed on any more', async () => {
  const { post, say, upstream, isOpen } = linked(granted('kicked'));
  expect(await post('v5/devices/kicked/sys/messages/up', [], 'one')).toBe(RESPONSE.CHANGED);
  sessions.close(sessions.ofDevice('kicked'), 'DEVICE');
  expect(isOpen()).toBe(false);
  say({ options: 'v5/devices/kicked/sys/messages/up'.split('/').map((part) => textOption(OPTION.URI_PATH, part)) });
  await pause(20);
  expect(upstream).toEqual(['$oc/devices/kicked/sys/messages/up one']);
});

test('while the broker is away a report is 5.03', async () => {
  const { post, setAway, session } = linked(granted('away'));
  setAway(true);
  expect(await post('v5/devices/away/sys/messages/up')).toBe(RESPONSE.UNAVAILABLE);
  session.close();
});

test('a client with a certificate is asked about once, by its first request', async () => {
  const asked: string[] = [];
  const { post, session } = linked(nameless, {
    name: async (deviceId) => {
      asked.push(deviceId);
      return { ...granted(deviceId), identity: undefined };
    },
  });
  expect(await post('rd/named')).toBe(RESPONSE.UNAUTHORIZED);
  expect(await post('rd')).toBe(RESPONSE.BAD_REQUEST);
  expect(asked).toEqual([]);
  expect(await post('rd', ['ep=named'])).toBe(RESPONSE.CREATED);
  expect(await post('v5/devices/other/sys/messages/up')).toBe(RESPONSE.FORBIDDEN);
  expect(asked).toEqual(['named']);
  expect(sessions.ofDevice('named')).toMatchObject([{ byCertificate: true }]);
  session.close();
  expect(sessions.ofDevice('named')).toEqual([]);
});

test('it may claim three devices; then its session ends', async () => {
  const { post, isOpen } = linked(nameless);
  for (const name of ['a', 'b']) expect(await post('rd', [`ep=${name}`])).toBe(RESPONSE.UNAUTHORIZED);
  expect(isOpen()).toBe(true);
  expect(await post('rd', ['ep=c'])).toBe(RESPONSE.UNAUTHORIZED);
  expect(isOpen()).toBe(false);
});

test('a client that says too late which device it is, or not at all, loses its session', async () => {
  const { isOpen } = linked(nameless, { namingMs: 50 });
  await until(() => !isOpen());
});

test('a kick that comes while it is asked about keeps it out', async () => {
  const verdict = Promise.withResolvers<Device>();
  const { say, session, upstream } = linked(nameless, { name: () => verdict.promise });
  const report = 'v5/devices/late/sys/messages/up'.split('/').map((part) => textOption(OPTION.URI_PATH, part));
  say({ options: report });
  session.close();
  verdict.resolve(granted('late'));
  await pause(20);
  expect(sessions.ofDevice('late')).toEqual([]);
  expect(upstream).toEqual([]);
});
