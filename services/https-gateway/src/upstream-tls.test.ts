import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TlsIdentity } from '@latchkey/gateway-kit';
import { type Broker, startBroker } from '@latchkey/gateway-kit/testing-broker';
import { freePort } from '@latchkey/kernel/testing';
import { SettingsError } from '@latchkey/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ready, selfSigned, startBench, until } from './test-bench.ts';
import { report, send } from './test-client.ts';

let folder: string;
let server: TlsIdentity;
let gateway: TlsIdentity;
let broker: Broker;
let url: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-upstream-'));
  [server, gateway] = [await selfSigned('localhost'), await selfSigned('gateway')];
  const file = (name: string, content: Buffer) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const port = await freePort();
  broker = await startBroker(
    `listener ${port} 127.0.0.1`,
    `certfile ${file('server.pem', server.cert)}`,
    `keyfile ${file('server.key', server.key)}`,
    `cafile ${file('clients.pem', gateway.cert)}`,
    'require_certificate true',
  );
  url = `mqtts://localhost:${port}`;
}, 30_000);
afterAll(async () => {
  await broker.stop();
  rmSync(folder, { recursive: true });
});

test('reports go to a Mosquitto that asks for a certificate, with the gateway’s own and not without', async () => {
  const { user, password } = broker;
  const statusWith = async (identity: TlsIdentity | undefined, isReady: boolean) => {
    const bench = await startBench({
      broker: { url, user, password },
      upstreamTls: () => ({ ca: server.cert, identity }),
    });
    try {
      await (isReady ? ready(bench) : until(() => bench.logged.join('').includes('the upstream broker is away')));
      return (await send(bench, 'HTTP/2', report('a', 'messages/up', 'hello'))).status;
    } finally {
      await bench.stop();
    }
  };
  expect(await statusWith(gateway, true)).toBe(200);
  expect(broker.arrived).toMatchObject([{ topic: '$oc/devices/a/sys/messages/up' }]);
  for (const wrong of [undefined, server]) expect(await statusWith(wrong, false)).toBe(503);
  expect(broker.arrived).toHaveLength(1);
});

test('SIGHUP has them read again for the next connection; what cannot be read changes nothing', async () => {
  const { user, password } = broker;
  let read = () => ({ ca: server.cert, identity: server });
  const bench = await startBench({ broker: { url, user, password }, upstreamTls: () => read() });
  const said = (text: string) => until(() => bench.logged.join('').includes(text));
  try {
    await said('the upstream broker is away');
    read = () => {
      throw new SettingsError('half written');
    };
    process.emit('SIGHUP');
    await said('the TLS of the way to the broker stays as it was');
    read = () => ({ ca: server.cert, identity: gateway });
    expect((await fetch(bench.url('/readyz'))).ok).toBe(false);
    process.emit('SIGHUP');
    await said('the TLS of the way to the broker was read again');
    await ready(bench);
    read = () => ({ ca: server.cert, identity: server });
    process.emit('SIGHUP');
    expect((await send(bench, 'HTTP/2', report('a', 'messages/up', 'the open link stays'))).status).toBe(200);
    await broker.kill();
    await until(async () => !(await fetch(bench.url('/readyz'))).ok);
    await broker.restart();
    const count = bench.logged.length;
    await until(() => bench.logged.slice(count).join('').includes('the upstream broker is away'));
    expect((await fetch(bench.url('/readyz'))).ok).toBe(false);
  } finally {
    await bench.stop();
  }
});
