import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type Broker, startBroker } from '@latchkey/gateway-kit/testing-broker';
import { faultOf, topicOf } from '@latchkey/gateway-kit/upstream';
import type { DeviceId } from '@latchkey/kernel';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readLogin, readReportProof } from './proof.ts';
import { readRoute } from './route.ts';
import { type Bench, login, ready, startBench } from './test-bench.ts';
import { report, send } from './test-client.ts';

const SEED = 20_261_123;

let broker: Broker;
let bench: Bench;

beforeAll(async () => {
  broker = await startBroker();
  bench = await startBench({ broker });
  await ready(bench);
});
afterAll(async () => {
  await bench.stop();
  await broker.stop();
});

const segments = fc.constantFrom(
  ...['v5', 'devices', 'a', 'sys', 'messages', 'up', 'device-auth', '', '..', '#', '+', '%2e', '$oc', 'ä', '\0'],
);
const targets = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.array(segments, { maxLength: 8 }).map((parts) => `/${parts.join('/')}`),
  fc.string({ unit: 'binary', maxLength: 8 }).map((id) => `/v5/devices/${id}/sys/messages/up`),
);

test('a target leads to a login, to a topic of one device, or nowhere', () => {
  fc.assert(
    fc.property(fc.constantFrom('POST', 'GET', undefined), targets, (method, target) => {
      const route = readRoute(method, target);
      const topic =
        route.operation === 'REPORT' ? topicOf(route.deviceId, route.kind) : '$oc/devices/a/sys/messages/up';
      expect(topic).toMatch(
        /^\$oc\/devices\/[A-Za-z0-9_-]{1,128}\/sys\/(messages\/up|properties\/report|gateway\/sub_devices\/properties\/report)$/,
      );
    }),
    { numRuns: 1_000, seed: SEED },
  );
});

test('a body is a login with all fields in bounds, or none', () => {
  const json = fc.oneof(
    fc.json(),
    fc
      .record({ device_id: fc.anything(), sign_type: fc.anything(), timestamp: fc.anything(), password: fc.anything() })
      .map((value) => JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? String(inner) : inner))),
    fc
      .tuple(fc.constantFrom(...Object.keys(login('a'))), fc.jsonValue())
      .map(([name, value]) => JSON.stringify({ ...login('a'), [name]: value })),
  );
  const bodies = fc.oneof(
    json.map((text) => Buffer.from(text ?? '')),
    fc.uint8Array({ maxLength: 100 }),
  );
  fc.assert(
    fc.property(bodies, (body) => {
      const read = readLogin(body) ?? readLogin(Buffer.from(JSON.stringify(login('a'))));
      expect(read?.deviceId).toMatch(/^[A-Za-z0-9_-]{1,128}$/);
      expect(read?.proof.kind?.value).toMatchObject({
        signType: expect.toSatisfy((type) => type === 0 || type === 1),
        timestamp: expect.stringMatching(/^[0-9]{10}$/),
        password: expect.toSatisfy((password: string) => password.length === 64),
      });
    }),
    { numRuns: 1_000, seed: SEED },
  );
});

test('whatever a report holds, it is read without an error', () => {
  const nested = fc.integer({ min: 1, max: 100_000 }).map((depth) => '['.repeat(depth));
  const bodies = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.json({ maxDepth: 4 }).map((text) => Buffer.from(text)),
    nested.map((text) => Buffer.from(`{"services":${text}`)),
    fc.jsonValue().map((value) => Buffer.from(JSON.stringify({ services: [value], devices: [value] }))),
  );
  fc.assert(
    fc.property(fc.constantFrom('PROPERTIES', 'SUB_DEVICES'), bodies, (kind, body) => {
      expect([undefined, 'MALFORMED', 'NOT_ITS_SUB_DEVICE']).toContain(faultOf(kind, 'a' as DeviceId, body));
    }),
    { numRuns: 500, seed: SEED },
  );
});

test('a header is a token of at most 256 characters, or none', () => {
  const headers = fc.oneof(
    fc.string({ maxLength: 300 }),
    fc.array(fc.string(), { maxLength: 3 }),
    fc.constant(undefined),
  );
  fc.assert(
    fc.property(headers, (header) => {
      const proof = readReportProof(header, []);
      const token = proof?.kind.case === 'token' ? proof.kind.value.token : 'none';
      expect(token.length).toBeGreaterThan(0);
      expect(token.length).toBeLessThanOrEqual(256);
      expect(proof === undefined || token === header).toBe(true);
    }),
    { numRuns: 500, seed: SEED },
  );
});

test('a chain is cut before a certificate that is too long', () => {
  const [leaf, long] = [new Uint8Array([1, 2]), new Uint8Array(16_385)];
  expect(readReportProof(undefined, [leaf, long, leaf])).toEqual({
    kind: { case: 'certificate', value: { chain: [leaf] } },
  });
  expect(readReportProof(undefined, [long])).toBeUndefined();
  expect(readReportProof(undefined, [])).toBeUndefined();
});

test('no bytes at a port crash the gateway or leave a report behind', async () => {
  const good =
    'POST /v5/devices/a/sys/messages/up HTTP/1.1\r\nhost: a\r\naccess_token: t\r\ncontent-length: 5\r\n\r\nhello';
  const mutated = fc
    .tuple(fc.nat(good.length), fc.nat(20), fc.string({ unit: 'binary', maxLength: 10 }))
    .map(([at, cut, put]) => Buffer.from(good.slice(0, at) + put + good.slice(at + cut), 'latin1'));
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
  const frames = fc.uint8Array({ maxLength: 200 }).map((tail) => Buffer.concat([Buffer.from(preface), tail]));
  const throwAt = async (tls: boolean, bytes: Uint8Array) => {
    const options = { host: '127.0.0.1', port: bench.https, rejectUnauthorized: false, ALPNProtocols: ['h2'] };
    const socket = tls ? connectTls(options) : connect(bench.http, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.end(bytes);
    socket.resume();
    await Promise.race([once(socket, 'close'), new Promise((resolve) => setTimeout(resolve, 50))]);
    socket.destroy();
  };
  await fc.assert(
    fc.asyncProperty(fc.oneof(mutated, frames, fc.uint8Array({ maxLength: 200 })), async (bytes) => {
      await Promise.all([throwAt(true, bytes), throwAt(false, bytes)]);
    }),
    { numRuns: 60, seed: SEED },
  );
  expect((await send(bench, 'HTTP/2', report('a', 'messages/up', ''))).status).toBe(200);
  expect((await send(bench, 'plain HTTP/1.1', report('a', 'messages/up', ''))).status).toBe(200);
  expect(await (await fetch(bench.url('/metrics'))).text()).toMatch(/^latchkey_gateway_sessions_open\{[^}]*\} 0$/m);
});
