import { connect } from 'node:net';
import { denied, granted } from '@latchkey/gateway-kit/testing';
import { type Broker, startBroker } from '@latchkey/gateway-kit/testing-broker';
import { type AuthenticateRequest, DenyReason, Protocol } from '@latchkey/protocol/v1';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Bench, grantAll, login, REPORT, ready, startBench, TOKEN, until } from './test-bench.ts';
import { report, send, WAYS } from './test-client.ts';

const INVALID_INPUT = { error_code: 'IOTDA.000006', error_msg: 'Invalid input data.' };
const UNAUTHORIZED = { error_code: 'IOTDA.000002', error_msg: 'The request is unauthorized.' };
const INVALID_TOKEN = { error_code: 'IOTDA.000004', error_msg: 'Invalid access token.' };
const RATE_LIMIT = { error_code: 'IOTDA.021101', error_msg: 'Request reached the maximum rate limit.' };

let broker: Broker;
let bench: Bench;
let asked: AuthenticateRequest[];

beforeAll(async () => {
  broker = await startBroker();
  bench = await startBench({ broker, deadlines: { holdMs: 20 } });
  await ready(bench);
});
beforeEach(() => {
  asked = [];
  broker.arrived.length = 0;
  grantAll(bench.table);
  const { answer, mint } = bench.table;
  bench.table.answer = (attempt) => {
    asked.push(attempt);
    return answer(attempt);
  };
  bench.table.mint = (attempt) => {
    asked.push(attempt);
    return mint(attempt);
  };
});
afterAll(async () => {
  await bench.stop();
  await broker.stop();
});

const device_auth = (body: object | string) => ({ path: '/v5/device-auth', body });

describe.each(WAYS)('over %s', (way) => {
  test('a login is asked about as it came, and answered with a token', async () => {
    const body = login('P1_n1');
    const got = await send(bench, way, device_auth({ ...body, more: 'is not looked at' }));
    expect(got.json).toEqual({ access_token: TOKEN, expires_in: expect.any(Number) });
    expect([86_398, 86_399, 86_400]).toContain((got.json as { expires_in: number }).expires_in);
    expect(got).toMatchObject({ status: 200, headers: { 'cache-control': 'no-store' } });
    const value = { signType: 0, timestamp: body.timestamp, password: body.password };
    expect(asked).toMatchObject([
      { deviceId: 'P1_n1', protocol: Protocol.HTTPS, source: '127.0.0.1', proof: { kind: { case: 'digest', value } } },
    ]);
  });

  test.each([
    ['properties/report', REPORT, 'properties/report'],
    ['messages/up', 'anything at all', 'messages/up'],
    ['messages/up', '', 'messages/up'],
    [
      'gateway/sub-devices/properties/report',
      { devices: [{ device_id: 'child', ...REPORT }] },
      'gateway/sub_devices/properties/report',
    ],
  ])('a report to %s goes out as it came once it is granted', async (kind, body, topic) => {
    const got = await send(bench, way, report('P1_n1', kind, body));
    expect(got).toMatchObject({ status: 200, text: '' });
    const payload = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    await until(() => broker.arrived.length > 0);
    expect(broker.arrived).toEqual([{ topic: `$oc/devices/P1_n1/sys/${topic}`, payload }]);
    expect(asked).toMatchObject([
      {
        deviceId: 'P1_n1',
        protocol: Protocol.HTTPS,
        proof: { kind: { case: 'token', value: { token: 'any-token' } } },
      },
    ]);
  });

  test('a megabyte goes out, and not a byte more, whether its length is told before or not', async () => {
    const longest = Buffer.alloc(1_048_576, 'a');
    expect(await send(bench, way, report('big', 'messages/up', longest))).toMatchObject({ status: 200 });
    await until(() => broker.arrived.length > 0);
    expect(broker.arrived[0]?.payload.equals(longest)).toBe(true);
    const told = report('big', 'messages/up', Buffer.alloc(1_048_577));
    const untold = {
      ...told,
      headers: { ...told.headers, ...(way === 'HTTP/2' ? {} : { 'transfer-encoding': 'chunked' }) },
    };
    const lengths = { ...told, headers: { ...told.headers, 'content-length': '1048577' } };
    for (const sent of [untold, lengths]) {
      expect(await send(bench, way, sent)).toMatchObject({ status: 403, json: { error_code: 'IOTDA.021105' } });
    }
    expect(broker.arrived).toHaveLength(1);
  });

  test('what is nowhere is 404, and what is no POST is 405', async () => {
    for (const path of ['/', '/v5/device-auth/', '/v5/devices/a/sys/events/up', '/v5/devices/a/b/sys/messages/up'])
      expect(await send(bench, way, { path })).toMatchObject({
        status: 404,
        json: { error_code: 'LATCHKEY.NO_SUCH_PATH' },
      });
    for (const path of ['/v5/device-auth', '/v5/devices/a/sys/messages/up'])
      expect(await send(bench, way, { path, method: 'PUT' })).toMatchObject({
        status: 405,
        headers: { allow: 'POST' },
      });
    expect(await send(bench, way, { path: '/v5/device-auth', method: 'HEAD' })).toMatchObject({
      status: 405,
      text: '',
    });
    expect(asked).toEqual([]);
  });
});

const right = login('P1_n1');
test.each([
  ['no JSON', 'device_id=P1_n1'],
  ['nothing', ''],
  ['a list', [right]],
  ['null', 'null'],
  ['no device id', { ...right, device_id: undefined }],
  ['a device id of other characters', { ...right, device_id: 'P1 n1' }],
  ['a device id that is too long', { ...right, device_id: 'a'.repeat(129) }],
  ['a sign type that is a text', { ...right, sign_type: '0' }],
  ['sign type 2', { ...right, sign_type: 2 }],
  ['no sign type', { ...right, sign_type: undefined }],
  ['a timestamp of nine digits', { ...right, timestamp: '202504140' }],
  ['a timestamp that is a number', { ...right, timestamp: 2_025_041_401 }],
  ['a password of 63 characters', { ...right, password: 'a'.repeat(63) }],
  ['no password', { ...right, password: undefined }],
  ['a long text', 'a'.repeat(4_097)],
])('a login of %s is 400, and nobody is asked', async (_name, body) => {
  expect(await send(bench, 'HTTP/2', device_auth(body))).toMatchObject({ status: 400, json: INVALID_INPUT });
  expect(asked).toEqual([]);
});

const REASONS = Object.values(DenyReason).filter((reason) => typeof reason === 'number');
test.each(REASONS.filter((reason) => reason !== DenyReason.UNSPECIFIED && reason !== DenyReason.THROTTLED))(
  'reason %i: a login is 401, a report with a token 403',
  async (reason) => {
    bench.table.mint = () => ({ result: { case: 'denied', value: { reason } } });
    bench.table.answer = () => denied(reason);
    expect(await send(bench, 'HTTP/2', device_auth(right))).toMatchObject({ status: 401, json: UNAUTHORIZED });
    const got = await send(bench, 'HTTP/2', report('P1_n1', 'properties/report', REPORT));
    expect(got).toMatchObject({ status: 403, json: INVALID_TOKEN });
    expect(broker.arrived).toEqual([]);
  },
);

test('too many attempts are told so', async () => {
  const reason = DenyReason.THROTTLED;
  bench.table.mint = () => ({ result: { case: 'denied', value: { reason } } });
  bench.table.answer = () => denied(reason);
  expect(await send(bench, 'HTTP/2', device_auth(right))).toMatchObject({ status: 403, json: RATE_LIMIT });
  expect(await send(bench, 'HTTP/2', report('a', 'messages/up', ''))).toMatchObject({ status: 403, json: RATE_LIMIT });
});

test('no decision is 503, with a time to come back', async () => {
  bench.table.mint = () => ({ result: { case: undefined } });
  bench.table.answer = () => {
    throw new Error('it failed');
  };
  for (const sent of [device_auth(right), report('a', 'messages/up', '')]) {
    const got = await send(bench, 'HTTP/1.1 over TLS', sent);
    expect(got).toMatchObject({ status: 503, json: { error_code: 'LATCHKEY.UNAVAILABLE' } });
    expect(Number(got.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    expect(Number(got.headers['retry-after'])).toBeLessThanOrEqual(10);
  }
});

const CHILD = { device_id: 'child', ...REPORT };
test.each([
  ['properties/report', 'no JSON'],
  ['properties/report', { services: [] }],
  ['properties/report', { services: {} }],
  ['properties/report', { services: [{ service_id: 7, properties: {} }] }],
  ['properties/report', { services: [{ service_id: 'water' }] }],
  ['properties/report', { services: [{ service_id: 'water', properties: [] }] }],
  ['properties/report', Buffer.from('{"services":[{"service_id":"\xff","properties":{}}]}', 'latin1')],
  ['gateway/sub-devices/properties/report', REPORT],
  ['gateway/sub-devices/properties/report', { devices: [] }],
  ['gateway/sub-devices/properties/report', { devices: [{ ...CHILD, device_id: 'a b' }] }],
  ['gateway/sub-devices/properties/report', { devices: [CHILD, { device_id: 'other' }] }],
  ['gateway/sub-devices/properties/report', { devices: Array.from({ length: 51 }, () => CHILD) }],
])('a malformed report to %s is 400 and goes nowhere', async (kind, body) => {
  expect(await send(bench, 'HTTP/2', report('a', kind, body))).toMatchObject({ status: 400, json: INVALID_INPUT });
  expect(broker.arrived).toEqual([]);
});

test('a sub-device that is the device itself is none of its own', async () => {
  const body = { devices: [CHILD, { ...CHILD, device_id: 'a' }] };
  const got = await send(bench, 'HTTP/2', report('a', 'gateway/sub-devices/properties/report', body));
  const error_msg = 'A sub-device does not exist, or is not one of this gateway.';
  expect(got).toMatchObject({ status: 400, json: { error_code: 'IOTDA.021104', error_msg } });
  expect(broker.arrived).toEqual([]);
});

test('fifty sub-devices, and a time that is none, are good', async () => {
  const services = [{ service_id: 'water', properties: {}, event_time: 'yesterday' }];
  const devices = Array.from({ length: 50 }, (_, index) => ({ device_id: `child-${index}`, services }));
  const got = await send(bench, 'HTTP/2', report('a', 'gateway/sub-devices/properties/report', { devices }));
  expect(got.status).toBe(200);
});

test('a report without a token, or with one that cannot be, is 403, and nobody is asked', async () => {
  const { path, body } = report('a', 'properties/report', REPORT);
  for (const headers of [{}, { access_token: '' }, { access_token: 'a'.repeat(257) }, { authorization: 'Bearer a' }]) {
    const got = await send(bench, 'HTTP/1.1 over TLS', { path, body: body ?? '', headers });
    expect(got).toMatchObject({ status: 403, json: INVALID_TOKEN });
  }
  expect(await send(bench, 'HTTP/2', report('a%20b', 'messages/up', ''))).toMatchObject({ status: 400 });
  expect(asked).toEqual([]);
});

test('HTTP/1.0 is answered', async () => {
  bench.table.answer = () => granted('a-1', 1n);
  const socket = connect(bench.http, '127.0.0.1');
  socket.write('POST /v5/devices/a/sys/messages/up HTTP/1.0\r\naccess_token: t\r\ncontent-length: 2\r\n\r\nhi');
  expect((await socket.toArray()).join('')).toMatch(/^HTTP\/1.1 200 OK\r\n/);
});

test('no token lies in a log', async () => {
  await send(bench, 'HTTP/2', device_auth(right));
  bench.table.answer = () => denied(DenyReason.TOKEN_INVALID);
  await send(bench, 'HTTP/2', report('a', 'messages/up', '', 'token-canary-2'));
  await send(bench, 'HTTP/2', { ...report('a', 'messages/up', ''), path: '/nowhere?access_token=token-canary-3' });
  const metrics = await (await fetch(bench.url('/metrics'))).text();
  expect(metrics).toMatch(/^latchkey_https_answers_total\{status="200"[^}]*\} [1-9]/m);
  for (const text of [bench.logged.join(''), metrics]) expect(text).not.toContain('canary');
});
