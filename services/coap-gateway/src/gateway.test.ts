import { generateKeyPairSync } from 'node:crypto';
import { TestClient } from '@latchkey/dtls/testing';
import { denied } from '@latchkey/gateway-kit/testing';
import { type Broker, startBroker } from '@latchkey/gateway-kit/testing-broker';
import { type AuthenticateRequest, DenyReason, Protocol, SessionEffect } from '@latchkey/protocol/v1';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { METHOD, OPTION, RESPONSE } from './coap/codes.ts';
import { decodeMessage, encodeMessage, type Message } from './coap/message.ts';
import { textOption } from './coap/options.ts';
import {
  alertOf,
  type Bench,
  bodiesOf,
  coap,
  codesOf,
  DEVICE,
  knowDevice,
  SECONDARY,
  SECRET,
  selfSigned,
  shownBy,
  startBench,
  until,
} from './test-bench.ts';

/** Clients are processes, which start slowly on a busy machine. */
const TIMEOUT_MS = 30_000;

const REPORT = JSON.stringify({ services: [{ service_id: 'water', properties: { level: 7 } }] });

let broker: Broker;
let bench: Bench;
let asked: AuthenticateRequest[];
let certificate = selfSigned('before');

beforeAll(async () => {
  broker = await startBroker();
  await broker.publish('$oc/devices/P1_other/sys/messages/down', 'kept', { retain: true });
  bench = await startBench({ broker, certificate: () => certificate });
}, TIMEOUT_MS);
beforeEach(() => {
  asked = [];
  broker.arrived.length = 0;
  knowDevice(bench.table);
  const { answer } = bench.table;
  bench.table.answer = (attempt) => {
    asked.push(attempt);
    return answer(attempt);
  };
});
afterAll(async () => {
  await bench.stop();
  await broker.stop();
});

function reportTo(kind: string, payload = REPORT) {
  return { target: `/v5/devices/${DEVICE}/sys/${kind}`, payload };
}

// First: those that are refused later on leave the gateway with what it remembers of changes.
describe('what is sent to a device', { timeout: TIMEOUT_MS }, () => {
  const sys = `$oc/devices/${DEVICE}/sys`;
  const receivers = async () => /^latchkey_coap_receivers(?:\{[^}]*\})? (\d+)/m.exec(await bench.metrics())?.[1];

  const subscribed = () => bench.logged.filter((line) => line.includes('gives what is for devices')).length;
  const elsewhere = async () =>
    /^latchkey_coap_downlinks_total{kind="message",outcome="elsewhere"[^}]*} (\d+)/m.exec(await bench.metrics())?.[1];

  test('what the broker kept from before does not come', async () => {
    await until(() => subscribed() === 1);
    await broker.publish('$oc/devices/P1_other/sys/messages/down', 'from now');
    await until(async () => (await elsewhere()) !== undefined);
    expect(await elsewhere()).toBe('1');
  });

  test.each(['openssl', 'gnutls'] as const)('libcoap over %s observes its messages', async (tls) => {
    const target = `/v5/devices/${DEVICE}/sys/messages/down`;
    const output = coap(bench.port, { tls, method: 'get', target, more: ['-s', '2'] });
    await until(async () => (await receivers()) === '1');
    await broker.publish('$oc/devices/P1_other/sys/messages/down', 'for another');
    await broker.publish(`${sys}/messages/down`, 'for this one');
    expect(bodiesOf(await output)).toEqual(['for this one']);
    await until(async () => (await receivers()) === '0');
  });

  test('a device behind a NAT registers, moves by its connection id, and takes a command where it is', async () => {
    const options = { identity: DEVICE, key: Buffer.from(SECRET), connectionId: Buffer.from('nat') };
    const device = await new TestClient(bench.port, options).connect();
    const NOTHING = Buffer.alloc(0);
    const say = (message: Partial<Message>) => {
      const whole = { type: 'CON', code: METHOD.POST, id: 1, token: NOTHING, options: [], payload: NOTHING } as const;
      device.send(encodeMessage({ ...whole, ...message }));
    };
    const hear = async () => {
      const decoded = decodeMessage(await device.bytes());
      if (decoded.kind !== 'MESSAGE') throw new Error(decoded.kind);
      return decoded.message;
    };
    const path = (...parts: readonly string[]) => parts.map((part) => textOption(OPTION.URI_PATH, part));
    say({ options: [...path('rd'), textOption(OPTION.URI_QUERY, `ep=${DEVICE}`)] });
    expect(await hear()).toMatchObject({ code: RESPONSE.CREATED });
    const observe = await hear();
    say({ type: 'ACK', id: observe.id, token: observe.token, code: RESPONSE.NOT_FOUND });
    device.rebind();
    say({ id: 2, options: path('rd', DEVICE) });
    expect(await hear()).toMatchObject({ code: RESPONSE.CHANGED });
    await broker.publish(`${sys}/commands/request_id=8`, 'turn');
    const put = await hear();
    expect(put).toMatchObject({ type: 'CON', code: METHOD.PUT, payload: Buffer.from('turn') });
    say({ type: 'ACK', id: put.id, token: put.token, code: RESPONSE.CHANGED, payload: Buffer.from('turned') });
    const topic = `${sys}/commands/response/request_id=8`;
    await until(() => broker.arrived.some((message) => message.topic === topic));
    expect(String(broker.arrived.find((message) => message.topic === topic)?.payload)).toBe('turned');
    device.sendRaw(device.seal(Buffer.from([1, 0]), 21)); // close_notify
    await until(async () => (await receivers()) === '0');
    device.close();
  });

  test('libcoap has nothing at 19/1/0, and the application hears so', async () => {
    const output = coap(bench.port, { target: `/rd?ep=${DEVICE}`, more: ['-G', '3'] });
    await until(async () => (await receivers()) === '1');
    await broker.publish(`${sys}/commands/request_id=7`, '{"command_name": "ON"}');
    const topic = `${sys}/commands/response/request_id=7`;
    await until(() => broker.arrived.some((message) => message.topic === topic));
    const response = broker.arrived.find((message) => message.topic === topic);
    expect(String(response?.payload)).toMatch(/^{"result_code":1,"paras":{"error":"4.0[45]"}}$/);
    expect(await output).toContain('c:PUT');
  });

  test('comes again after the broker was away', async () => {
    await broker.kill();
    await until(async () => !(await bench.isReady()));
    await broker.restart();
    await until(() => subscribed() === 2);
    const target = `/v5/devices/${DEVICE}/sys/messages/down`;
    const output = coap(bench.port, { method: 'get', target, more: ['-s', '2'] });
    await until(async () => (await receivers()) === '1');
    await broker.publish(`${sys}/messages/down`, 'new');
    expect(bodiesOf(await output)).toEqual(['new']);
  });
});

describe.each(['openssl', 'gnutls'] as const)('libcoap over %s', { timeout: TIMEOUT_MS }, (tls) => {
  test('the right key: a device registers', async () => {
    const output = await coap(bench.port, { tls, target: `/rd?ep=${DEVICE}&lwm2m=1.1&lt=86400` });
    expect(codesOf(output)).toEqual(['2.01']);
    expect(output).toContain(`Location-Path:rd, Location-Path:${DEVICE}`);
    expect(asked).toMatchObject([
      { deviceId: DEVICE, protocol: Protocol.COAP, source: '127.0.0.1', proof: { kind: { case: 'psk' } } },
    ]);
  });

  test('a report goes out as it came, and is answered once the broker has it', async () => {
    expect(codesOf(await coap(bench.port, { tls, ...reportTo('properties/report') }))).toEqual(['2.04']);
    await until(() => broker.arrived.length > 0);
    const topic = `$oc/devices/${DEVICE}/sys/properties/report`;
    expect(broker.arrived).toEqual([{ topic, payload: Buffer.from(REPORT) }]);
  });

  test('a message of 3,000 bytes in blocks of 64', async () => {
    const payload = 'x'.repeat(3_000);
    const output = await coap(bench.port, { tls, ...reportTo('messages/up', payload), more: ['-b', '64'] });
    expect(codesOf(output).at(-1)).toBe('2.04');
    await until(() => broker.arrived.length > 0);
    expect(broker.arrived.map((each) => each.payload.toString())).toEqual([payload]);
  });

  test('what there is, in blocks of 16', async () => {
    const output = await coap(bench.port, { tls, method: 'get', target: '/.well-known/core', more: ['-b', '16'] });
    for (const number of [0, 1, 2]) expect(output).toContain(`Block2:${number}/${number < 2 ? 'M' : '_'}/16`);
    expect(output).toContain("Block2:2/_/16, Size2:45 ] :: '</v5/devices>'");
  });

  test('a non-confirmable report', async () => {
    const output = await coap(bench.port, { tls, ...reportTo('messages/up', 'hi'), more: ['-N'] });
    expect(codesOf(output)).toEqual(['2.04']);
  });

  test('an unknown critical option: 4.02', async () => {
    const output = await coap(bench.port, { tls, ...reportTo('messages/up', 'hi'), more: ['-O', '65001,x'] });
    expect(codesOf(output)).toEqual(['4.02']);
    expect(broker.arrived).toEqual([]);
  });

  test('a wrong key and an unknown identity look the same, and nobody is asked', async () => {
    const target = `/rd?ep=${DEVICE}`;
    const wrong = await coap(bench.port, { tls, key: 'wrong', target });
    const unknown = await coap(bench.port, { tls, user: 'ghost', target });
    expect([alertOf(wrong), alertOf(unknown)]).toEqual(['decrypt error', 'decrypt error']);
    expect([codesOf(wrong), codesOf(unknown)]).toEqual([[], []]);
    expect(asked).toEqual([]);
  });

  test('the secondary secret: refused by default, good where the service gives its master secret', async () => {
    const call = { tls, key: SECONDARY, target: `/rd?ep=${DEVICE}` };
    expect(alertOf(await coap(bench.port, call))).toBe('decrypt error');
    knowDevice(bench.table, [SECRET, SECONDARY]);
    expect(codesOf(await coap(bench.port, call))).toEqual(['2.01']);
    expect(codesOf(await coap(bench.port, { ...call, key: SECRET }))).toEqual(['2.01']);
  });
});

describe('who is refused although its key is right', { timeout: TIMEOUT_MS }, () => {
  const others = Object.values(DenyReason)
    .filter((reason) => typeof reason === 'number' && reason !== DenyReason.UNSPECIFIED)
    .filter((reason) => reason !== DenyReason.FROZEN)
    .filter((reason) => typeof reason !== 'string')
    .map((reason): [DenyReason, string] => [reason, 'decrypt error']);
  const cases: readonly [DenyReason, string][] = [[DenyReason.FROZEN, 'access denied'], ...others];

  test.each(cases)('reason %i hears %s', async (reason, alert) => {
    bench.table.answer = () => denied(reason);
    const output = await coap(bench.port, { target: `/rd?ep=${DEVICE}` });
    expect([alertOf(output), codesOf(output)]).toEqual([alert, []]);
  });

  test('no decision, or no master secret, is told as such', async () => {
    bench.table.answer = () => {
      throw new Error('it failed');
    };
    expect(alertOf(await coap(bench.port, { target: '/rd' }))).toBe('internal error');
    bench.table.derive = () => {
      throw new Error('it failed');
    };
    expect(alertOf(await coap(bench.port, { target: '/rd' }))).toBe('internal error');
  });
});

describe('requests', { timeout: TIMEOUT_MS }, () => {
  test.each([
    ['post', '/rd?ep=P1_other', '4.03'],
    ['post', '/rd', '4.00'],
    ['post', '/rd?ep=', '4.00'],
    ['post', `/rd?ep=${DEVICE}&ep=${DEVICE}`, '4.00'],
    ['post', `/rd?ep=${DEVICE}&lt=soon`, '4.00'],
    ['post', `/rd?ep=${DEVICE}&lt=0`, '4.00'],
    ['get', '/v5/devices/P1_other/sys/messages/down', '4.03'],
    ['get', `/v5/devices/${DEVICE}/sys/messages/down`, '2.05'],
    ['post', `/v5/devices/${DEVICE}/sys/messages/down`, '4.05'],
    ['post', `/rd?ep=${DEVICE}&lwm2m=9.9`, '4.12'],
    ['get', '/rd', '4.05'],
    ['post', `/rd/${DEVICE}`, '4.04'],
    ['delete', `/rd/${DEVICE}`, '4.04'],
    ['delete', '/rd/P1_other', '4.04'],
    ['get', '/nowhere', '4.04'],
    ['get', `/v5/devices/${DEVICE}/sys/messages/up`, '4.05'],
    ['post', '/v5/devices/P1_other/sys/messages/up', '4.03'],
    ['post', '/v5/devices/a%20b/sys/messages/up', '4.00'],
    ['post', `/v5/devices/${DEVICE}/sys/properties/report`, '4.00'],
  ] as const)('%s %s: %s', async (method, target, code) => {
    const payload = method === 'post' ? { payload: 'no report' } : {};
    expect(codesOf(await coap(bench.port, { method, target, ...payload }))).toEqual([code]);
    expect(broker.arrived).toEqual([]);
  });

  test('a device is registered by what it called itself in the handshake, and by its IMEI', async () => {
    expect(codesOf(await coap(bench.port, { user: 'n1', target: '/rd?ep=n1' }))).toEqual(['2.01']);
    const named = await coap(bench.port, { user: 'urn:imei:n1', target: '/rd?ep=urn:imei:n1' });
    expect(codesOf(named)).toEqual(['2.01']);
    expect(codesOf(await coap(bench.port, { user: 'n1', target: '/rd?ep=n2' }))).toEqual(['4.03']);
  });

  test('of thirteen packets that the client sends seven are lost', async () => {
    // By their numbers, as libcoap gives up after five timeouts, which by chance comes in one of fifty runs:
    // a hello (1), the one with the cookie (3), the whole last flight (5), of its second try the key exchange
    // and the finish (6, 8), of its third the change of the cipher (10), and the request (12).
    const more = ['-l', '1,3,5,6,8,10,12'];
    const output = await coap(bench.port, { ...reportTo('messages/up', 'hi'), more });
    expect(output.match(/Packet \d+ dropped/g)).toHaveLength(7);
    expect(codesOf(output)).toEqual(['2.04']);
    expect(broker.arrived).toHaveLength(1);
  });

  test('a lookup of 1.9 s', async () => {
    const { derive } = bench.table;
    bench.table.derive = async (request) => {
      await new Promise((resolve) => setTimeout(resolve, 1_900));
      return derive(request);
    };
    expect(codesOf(await coap(bench.port, { target: `/rd?ep=${DEVICE}` }))).toEqual(['2.01']);
  });
});

describe('a session', { timeout: TIMEOUT_MS }, () => {
  const openSessions = async () =>
    /^latchkey_gateway_sessions_open(?:\{[^}]*\})? (\d+)/m.exec(await bench.metrics())?.[1];
  const stay = () => coap(bench.port, { ...reportTo('messages/up', 'hi'), more: ['-G', '20'] });

  test('is closed by a change that ends the device’s sessions, and nothing is reported after that', async () => {
    const output = stay();
    // A client whose goodbye was lost may have left another session, which ends as well.
    await until(() => broker.arrived.length > 0);
    bench.table.derive = () => ({ masterSecret: new Uint8Array(48) });
    bench.table.change({ deviceId: DEVICE, revision: 2n, effect: SessionEffect.CLOSE_DEVICE });
    await until(async () => (await openSessions()) === '0');
    const before = broker.arrived.length;
    expect(await output).toContain('session disconnected');
    expect(broker.arrived).toHaveLength(before);
  });

  test('does not open when a change overtakes its verdict', async () => {
    const { answer } = bench.table;
    bench.table.answer = async (attempt) => {
      bench.table.change({ deviceId: DEVICE, revision: 9n, effect: SessionEffect.CLOSE_DEVICE });
      await until(() => bench.logged.some((line) => line.includes('"msg":"changes are followed"')));
      await new Promise((resolve) => setTimeout(resolve, 200));
      return answer(attempt);
    };
    const output = await coap(bench.port, { ...reportTo('messages/up', 'hi') });
    expect(codesOf(output)).toEqual([]);
    expect(broker.arrived).toEqual([]);
    expect(await openSessions()).toBe('0');
  });
});

test('SIGHUP has the certificate read again; one that does not fit changes nothing', {
  timeout: TIMEOUT_MS,
}, async () => {
  expect(await shownBy(bench.port)).toBe('subject=CN = before');
  certificate = selfSigned('after');
  process.emit('SIGHUP');
  expect(await shownBy(bench.port)).toBe('subject=CN = after');
  certificate = { ...certificate, key: generateKeyPairSync('ed25519').privateKey };
  process.emit('SIGHUP');
  expect(await shownBy(bench.port)).toBe('subject=CN = after');
  expect(bench.logged.join('')).toContain('the TLS certificate stays as it was');
});

test('no secret lies in a log or a metric', async () => {
  for (const text of [bench.logged.join(''), await bench.metrics()]) expect(text).not.toContain('canary');
});
