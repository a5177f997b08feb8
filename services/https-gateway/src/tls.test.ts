import { X509Certificate } from 'node:crypto';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTls } from 'node:tls';
import type { TlsIdentity } from '@latchkey/gateway-kit';
import { denied } from '@latchkey/gateway-kit/testing';
import { type Broker, startBroker } from '@latchkey/gateway-kit/testing-broker';
import { type AuthenticateRequest, DenyReason } from '@latchkey/protocol/v1';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Bench, grantAll, login, REPORT, ready, selfSigned, startBench } from './test-bench.ts';
import { report, send, type Way } from './test-client.ts';

const WAYS: readonly Way[] = ['HTTP/1.1 over TLS', 'HTTP/2'];

let broker: Broker;
let bench: Bench;
let own: TlsIdentity;
let certificate: TlsIdentity;
let leaf: Buffer;
let asked: AuthenticateRequest[];

beforeAll(async () => {
  broker = await startBroker();
  own = await selfSigned('localhost');
  bench = await startBench({ broker, identity: () => own });
  certificate = await selfSigned('device');
  leaf = new X509Certificate(certificate.cert).raw;
  await ready(bench);
});
beforeEach(() => {
  asked = [];
  grantAll(bench.table);
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

const bare = { path: '/v5/devices/P1_n2/sys/properties/report', body: REPORT };

test.each(WAYS)('over %s a certificate stands in for a token', async (way) => {
  expect(await send(bench, way, { ...bare, certificate })).toMatchObject({ status: 200 });
  const [shown] = asked.map(({ proof }) => proof?.kind);
  expect(shown?.case === 'certificate' && shown.value.chain.map((der) => Buffer.from(der))).toEqual([leaf]);
  bench.table.answer = () => denied(DenyReason.FINGERPRINT_MISMATCH);
  const got = await send(bench, way, { ...bare, certificate });
  expect(got).toMatchObject({ status: 401, json: { error_code: 'IOTDA.000002' } });
});

test.each(WAYS)('over %s a token goes before a certificate', async (way) => {
  await send(bench, way, { ...report('P1_n2', 'messages/up', ''), certificate });
  expect(asked.map(({ proof }) => proof?.kind.case)).toEqual(['token']);
});

test('each report over one connection is decided on anew', async () => {
  const session = connectHttp2(`https://127.0.0.1:${bench.https}`, { rejectUnauthorized: false, ...certificate });
  const once = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const stream = session.request({ ':path': bare.path, ':method': 'POST' });
      stream.on('response', (headers) => resolve(headers[':status'] ?? 0));
      stream.on('error', reject);
      stream.resume();
      stream.end(JSON.stringify(REPORT));
    });
  expect(await once()).toBe(200);
  bench.table.answer = () => denied(DenyReason.FROZEN);
  expect(await once()).toBe(401);
  session.close();
});

test('a certificate is no login', async () => {
  bench.table.mint = () => ({ result: { case: 'denied', value: { reason: DenyReason.WRONG_KIND } } });
  const got = await send(bench, 'HTTP/2', { path: '/v5/device-auth', body: login('P1_n2'), certificate });
  expect(got.status).toBe(401);
  expect(await send(bench, 'HTTP/2', { path: '/v5/device-auth', body: '', certificate })).toMatchObject({
    status: 400,
  });
});

test('SIGHUP has the certificate read again; one that cannot be read changes nothing', async () => {
  const shown = () =>
    new Promise<string | undefined>((resolve) => {
      const socket = connectTls({ host: '127.0.0.1', port: bench.https, rejectUnauthorized: false }, () => {
        resolve(socket.getPeerX509Certificate()?.fingerprint256);
        socket.destroy();
      });
    });
  const fingerprint = ({ cert }: TlsIdentity) => new X509Certificate(cert).fingerprint256;
  const before = own;
  expect(await shown()).toBe(fingerprint(before));
  own = await selfSigned('localhost');
  process.emit('SIGHUP');
  expect(await shown()).toBe(fingerprint(own));
  const renewed = own;
  own = { cert: before.cert, key: renewed.key };
  process.emit('SIGHUP');
  expect(await shown()).toBe(fingerprint(renewed));
  expect(bench.logged.join('')).toContain('the TLS certificate stays as it was');
  expect(await send(bench, 'HTTP/2', { ...bare, certificate })).toMatchObject({ status: 200 });
});

test.each([
  ['TLSv1.1', undefined],
  ['TLSv1.2', 'TLSv1.2'],
  ['TLSv1.3', 'TLSv1.3'],
] as const)('%s', async (version, spoken) => {
  const socket = connectTls({
    ...{ host: '127.0.0.1', port: bench.https, rejectUnauthorized: false, ALPNProtocols: ['h2', 'http/1.1'] },
    ...{ minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' },
  });
  const got = await new Promise<string | null | undefined>((resolve) => {
    socket.once('secureConnect', () => resolve(socket.getProtocol()));
    socket.once('error', () => resolve(undefined));
  });
  socket.destroy();
  expect(got ?? undefined).toBe(spoken);
});
