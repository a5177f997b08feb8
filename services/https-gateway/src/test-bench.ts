import 'reflect-metadata/lite';
import { createHmac, KeyObject, webcrypto } from 'node:crypto';
import type { Limits, TlsIdentity } from '@latchkey/gateway-kit';
import { granted, TableAuth } from '@latchkey/gateway-kit/testing';
import type { Broker } from '@latchkey/gateway-kit/testing-broker';
import type { UpstreamSettings } from '@latchkey/gateway-kit/upstream';
import { createLog, parseAddress } from '@latchkey/runtime';
import * as x509 from '@peculiar/x509';
import { vi } from 'vitest';
import { type Deadlines, startHttpsGateway } from './wire.ts';

/** A gateway with an auth service of its own, for a test. */
export type Bench = {
  readonly table: TableAuth;
  readonly authPort: number;
  readonly https: number;
  readonly http: number;
  readonly url: (path: string) => string;
  readonly logged: readonly string[];
  readonly stop: () => Promise<void>;
};

/** The token that the table mints. */
export const TOKEN = 'token-canary-1';

const EC_KEY = { name: 'ECDSA', namedCurve: 'P-256' };

/** A self-signed certificate and its key, PEM. */
export async function selfSigned(name: string): Promise<TlsIdentity> {
  const keys = await webcrypto.subtle.generateKey(EC_KEY, true, ['sign', 'verify']);
  const extensions = [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: name }])];
  const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' };
  const made = await x509.X509CertificateGenerator.createSelfSigned(
    { serialNumber: '01', name: `CN=${name}`, keys, signingAlgorithm, extensions },
    webcrypto,
  );
  const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' });
  return { cert: Buffer.from(made.toString('pem')), key: Buffer.from(key) };
}

const LIMITS: Limits = {
  ...{ connections: 1_000, sourceConnections: 1_000, sourceRate: 10_000, decisions: 1_000 },
  ...{ loopDelayMs: 0, drainMs: 1_000 },
};

/** Starts both; `absent` leaves the auth service away. The table grants all until the test says otherwise. */
export async function startBench(options: {
  readonly broker: Pick<Broker, 'url' | 'user' | 'password'>;
  readonly absent?: boolean;
  readonly identity?: () => TlsIdentity;
  readonly deadlines?: Deadlines;
  readonly limits?: Partial<Limits>;
  /** TLS towards the broker. */
  readonly upstreamTls?: UpstreamSettings['tls'];
}): Promise<Bench> {
  const { broker, deadlines } = options;
  const identity = await selfSigned('localhost');
  const limits = { ...LIMITS, ...options.limits };
  const table = new TableAuth();
  grantAll(table);
  const authPort = await table.start();
  if (options.absent) table.stop();
  const free = { host: '127.0.0.1', port: 0 };
  const logged: string[] = [];
  const log = createLog({ service: 'test', level: 'debug', to: { write: (line) => void logged.push(line) } });
  const config = {
    ...{ https: { address: free, identity: options.identity ?? (() => identity) }, http: free, metrics: free },
    ...{ auth: [{ ...free, port: authPort }], limits, logLevel: 'debug' as const },
    upstream: { url: broker.url, username: broker.user, password: broker.password, tls: options.upstreamTls },
  };
  const gateway = await startHttpsGateway(config, log, deadlines);
  const portOf = (name: string) => parseAddress(String(gateway.ready[name] ?? '0').replace(/^\w+:\/\//, '')).port;
  const url = (path: string) => `http://127.0.0.1:${portOf('metrics')}${path}`;
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= gateway.stop().finally(() => table.stop());
    return stopped;
  };
  return { table, authPort, https: portOf('https'), http: portOf('http'), url, logged, stop };
}

/** Has the table grant everything. */
export function grantAll(table: TableAuth): void {
  table.answer = ({ deviceId }) => granted(`${deviceId}-1`, 1n);
  table.mint = ({ deviceId }) => ({
    result: {
      case: 'minted',
      value: {
        token: TOKEN,
        granted: {
          ...{ credentialId: `${deviceId}-1`, revision: 1n },
          expiresAt: { seconds: BigInt(Math.floor(Date.now() / 1_000) + 86_400), nanos: 0 },
        },
      },
    },
  });
}

/** Waits until the gateway passes reports on. */
export function ready(bench: Bench): Promise<void> {
  return until(async () => (await fetch(bench.url('/readyz'))).ok);
}

/** Waits until something is so; fails after 8 s. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  await vi.waitFor(
    async () => {
      if (!(await holds())) throw new Error('not so yet');
    },
    { timeout: 20_000, interval: 20 },
  );
}

/** The body of a login with sign type 0. */
export function login(deviceId: string, secret = '12345678', timestamp = '2025041401') {
  const password = createHmac('sha256', timestamp).update(secret).digest('hex');
  return { device_id: deviceId, sign_type: 0, timestamp, password };
}

/** A report of one property. */
export const REPORT = { services: [{ service_id: 'water', properties: { level: 7 } }] };
