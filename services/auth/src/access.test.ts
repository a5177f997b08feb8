import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import { AuthenticationService, CertificateService, CredentialService, DeviceService } from '@latchkey/protocol/v1';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { attempt } from './test-process.ts';
import { type Service, startService } from './test-stores.ts';

/** What the proto files promise and this service does not do yet: it answers UNIMPLEMENTED. */
const NOT_THERE_YET = [
  'AuthenticationService.ReportSessions',
  'DeviceService.ImportDevices',
  'DeviceService.ExportDevices',
];

/** Requests that pass validation, which comes first, where an empty one does not. */
const VALID: Readonly<Record<string, object>> = {
  RetireCredential: { deviceIds: ['a'], slot: 1 },
  PromoteSecondary: { deviceId: 'a' },
  RegisterCa: { certificate: 'x' },
  VerifyCa: { caId: 'a'.repeat(64), verificationCertificate: 'x' },
  DisableCa: { caId: 'a'.repeat(64) },
  DeleteCa: { caId: 'a'.repeat(64) },
  DisableCertificate: { fingerprint: 'a'.repeat(64) },
  EnableCertificate: { fingerprint: 'a'.repeat(64) },
};

const OPERATORS: readonly DescService[] = [DeviceService, CredentialService, CertificateService];
const methodsOf = (services: readonly DescService[]) => services.flatMap(({ methods }) => methods);
const BUF = join(import.meta.dirname, '../../../node_modules/.bin/buf');

let service: Service;
beforeAll(async () => {
  service = await startService('embedded');
});
afterAll(() => service.stop());

/** One call as JSON over HTTP; streams are framed as Connect frames them. */
async function post(method: DescMethod, token: string | undefined) {
  const unary = method.methodKind === 'unary';
  const body = JSON.stringify(VALID[method.name] ?? {});
  const frame = Buffer.from([0, 0, 0, 0, body.length, ...Buffer.from(body)]);
  const response = await fetch(`${service.admin}/${method.parent.typeName}/${method.name}`, {
    method: 'POST',
    headers: {
      'content-type': unary ? 'application/json' : 'application/connect+json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: unary ? body : frame,
  });
  return response.text();
}

const buf = async (name: string, data: object) => {
  const args = ['curl', '--protocol', 'grpc', '--http2-prior-knowledge', '-d', JSON.stringify(data)];
  const url = `http://${service.grpc}/${name}`;
  return promisify(execFile)(BUF, [...args, url]).then(
    ({ stdout }) => stdout,
    (error: { stderr: string }) => error.stderr,
  );
};

test('no method of an operator is open without a token, or with a wrong one', async () => {
  const methods = methodsOf(OPERATORS);
  expect(methods.length).toBeGreaterThan(15);
  for (const method of methods) {
    for (const token of [undefined, '', 'x'.repeat(43), 'no token!']) {
      expect(await post(method, token)).toMatch(/"code":"unauthenticated","message":"present the operator token/);
    }
  }
});

test('what is not there yet answers UNIMPLEMENTED, and nothing else does', async () => {
  const authorization = await tokenOf();
  const unserved: string[] = [];
  for (const method of methodsOf(OPERATORS)) {
    if ((await post(method, authorization)).includes('"unimplemented"'))
      unserved.push(`${method.parent.name}.${method.name}`);
  }
  const gateways: string[] = [];
  for (const method of AuthenticationService.methods.filter(({ name }) => name !== 'WatchChanges')) {
    if ((await buf(`${method.parent.typeName}/${method.name}`, {})).includes('unimplemented'))
      gateways.push(`${method.parent.name}.${method.name}`);
  }
  expect([...gateways, ...unserved]).toEqual(NOT_THERE_YET);
});

test('health and reflection answer any gRPC client', async () => {
  // A check's request is the service's name as field 1, its answer the status as field 1: 1 is SERVING.
  for (const name of ['', AuthenticationService.typeName]) {
    const request = Buffer.concat([Buffer.from([10, name.length]), Buffer.from(name)]);
    const answer = await new Promise<Buffer | undefined>((resolve, reject) => {
      const bytes = (value: Buffer) => value;
      service.clients.channel.makeUnaryRequest('/grpc.health.v1.Health/Check', bytes, bytes, request, (error, value) =>
        error ? reject(error) : resolve(value),
      );
    });
    expect(answer).toEqual(Buffer.from([8, 1]));
  }
  const answer = await buf(`${AuthenticationService.typeName}/Authenticate`, {
    ...{ deviceId: 'nobody', protocol: 'PROTOCOL_MQTT', proof: { secret: { secret: 'x' } } },
  });
  expect(JSON.parse(answer)).toMatchObject({ denied: { reason: 'DENY_REASON_UNKNOWN_DEVICE' } });
});

test('a malformed question is refused by field, never by value', async () => {
  await expect(service.clients.authenticate(attempt('no id!', 'canary-secret'), 5_000)).rejects.toMatchObject({
    code: 3,
    details: expect.stringMatching(/^device_id: (?!.*canary)/),
  });
});

test('health and metrics are pages, and anything else is told apart', async () => {
  await service.clients.authenticate(attempt('nobody', 'x'), 5_000);
  const health = await fetch(`${service.admin}/healthz`);
  expect([health.status, await health.json()]).toEqual([200, { healthy: true }]);
  const metrics = await (await fetch(`${service.admin}/metrics`)).text();
  expect(metrics).toMatch(/^latchkey_decisions_total\{outcome="unknown_device",service="auth"\} [1-9]/m);
  expect(metrics).toMatch(
    /^latchkey_call_duration_seconds_count\{method="Authenticate",code="OK",service="auth"\} [1-9]/m,
  );
  expect(metrics).toMatch(/^latchkey_record_lookups_total\{result="miss",service="auth"\} [1-9]/m);
  expect((await fetch(`${service.admin}/elsewhere`)).status).toBe(404);
});

test('a request that is too long is refused', async () => {
  const response = await fetch(`${service.admin}/${DeviceService.typeName}/GetDevice`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${await tokenOf()}` },
    body: JSON.stringify({ deviceId: 'a'.repeat(1_100_000) }),
  });
  expect(await response.json()).toMatchObject({ code: 'resource_exhausted' });
});

test('random bytes crash neither listener', async () => {
  const ports = [service.grpc, service.admin].map((address) => Number(address.split(':').at(-1)));
  const heads = ['', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', `POST /${DeviceService.typeName}/GetDevice HTTP/1.1\r\n\r\n`];
  const throwAt = async (port: number, bytes: Uint8Array) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.end(bytes);
    socket.resume();
    await Promise.race([once(socket, 'close'), new Promise((resolve) => setTimeout(resolve, 50))]);
    socket.destroy();
  };
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...heads), fc.uint8Array({ maxLength: 300 }), async (head, tail) => {
      await Promise.all(ports.map((port) => throwAt(port, Buffer.concat([Buffer.from(head), tail]))));
    }),
    { numRuns: 60 },
  );
  expect((await service.clients.authenticate(attempt('nobody', 'x'), 5_000)).decision.case).toBe('denied');
  expect((await fetch(`${service.admin}/healthz`)).status).toBe(200);
});

async function tokenOf(): Promise<string> {
  return (await readFile(join(service.dataDir, 'operator.token'), 'utf8')).trim();
}
