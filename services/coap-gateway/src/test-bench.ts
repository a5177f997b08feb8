import { execFileSync, spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { deriveFromKeys, type PskDerivation, type ServerCertificate } from '@latchkey/dtls';
import type { Limits } from '@latchkey/gateway-kit';
import { granted, TableAuth } from '@latchkey/gateway-kit/testing';
import type { Broker } from '@latchkey/gateway-kit/testing-broker';
import { type DerivePskSecretRequest, PskPrf } from '@latchkey/protocol/v1';
import { createLog, parseAddress } from '@latchkey/runtime';
import { type Deadlines, startCoapGateway } from './wire.ts';

/** A gateway with an auth service of its own, for a test. */
export type Bench = {
  readonly table: TableAuth;
  readonly port: number;
  /** Of plain CoAP. */
  readonly plainPort: number;
  /** Text of `/metrics`. */
  readonly metrics: () => Promise<string>;
  readonly isReady: () => Promise<boolean>;
  readonly logged: readonly string[];
  readonly stop: () => Promise<void>;
};

/** The device that the table knows, and its secrets. */
export const DEVICE = 'P1_n1';
export const SECRET = 'primary-canary-1';
export const SECONDARY = 'secondary-canary';

/** So wide that no test meets them. */
export const LIMITS: Limits = {
  ...{ connections: 1_000, sourceConnections: 1_000, sourceRate: 10_000, decisions: 1_000 },
  ...{ loopDelayMs: 0, drainMs: 0 },
};

/** Starts both. The table derives from `keys`, the device's by default, and grants all until the test says otherwise. */
export async function startBench(options: {
  readonly broker: Pick<Broker, 'url' | 'user' | 'password'>;
  readonly certificate?: () => ServerCertificate;
  readonly deadlines?: Deadlines;
  readonly limits?: Partial<Limits>;
}): Promise<Bench> {
  const { broker, certificate, deadlines } = options;
  const table = new TableAuth();
  knowDevice(table);
  const free = { host: '127.0.0.1', port: 0 };
  const auth = [{ ...free, port: await table.start() }];
  const logged: string[] = [];
  const log = createLog({ service: 'test', level: 'debug', to: { write: (line) => void logged.push(line) } });
  const upstream = { url: broker.url, username: broker.user, password: broker.password };
  const limits = { ...LIMITS, ...options.limits };
  const config = {
    coaps: free,
    coap: free,
    metrics: free,
    certificate,
    upstream,
    auth,
    limits,
    logLevel: 'debug' as const,
  };
  const gateway = await startCoapGateway(config, log, deadlines);
  const portOf = (name: string) => parseAddress(String(gateway.ready[name]).replace(/^\w+:\/\//, '')).port;
  const probe = (path: string) => fetch(`http://127.0.0.1:${portOf('metrics')}${path}`);
  const bench: Bench = {
    ...{ table, port: portOf('coaps'), plainPort: portOf('coap'), logged },
    metrics: async () => (await probe('/metrics')).text(),
    isReady: async () => (await probe('/readyz')).ok,
    stop: () => gateway.stop().finally(() => table.stop()),
  };
  await until(bench.isReady);
  return bench;
}

/** Has the table know the device alone, by the keys in their order, and grant whatever it is asked. */
export function knowDevice(table: TableAuth, keys: readonly string[] = [SECRET]): void {
  table.answer = ({ deviceId }) => granted(`${deviceId}-1`, 1n);
  table.derive = async (request) => {
    const derivation = derivationOf(request);
    const name = derivation.identity.toString().replace(/^urn:imei:/, '');
    const isKnown = name === DEVICE || name === 'n1';
    const find = (key: string) => deriveFromKeys(async () => (isKnown ? Buffer.from(key) : undefined));
    const [first, second] = await Promise.all(keys.map((key) => find(key)(derivation, { address: '', port: 0 })));
    return {
      deviceId: isKnown ? DEVICE : '',
      masterSecret: Uint8Array.from(first?.[0] ?? []),
      secondaryMasterSecret: Uint8Array.from(second?.[0] ?? []),
    };
  };
}

function derivationOf({ derivation }: DerivePskSecretRequest): PskDerivation {
  const bytes = Buffer.from(derivation?.seed.value ?? []);
  return {
    identity: Buffer.from(derivation?.identity ?? []),
    hash: derivation?.prf === PskPrf.SHA384 ? 'sha384' : 'sha256',
    seed: { kind: derivation?.seed.case === 'sessionHash' ? 'SESSION_HASH' : 'RANDOMS', bytes },
    ecdheSecret: Buffer.from(derivation?.ecdheSecret ?? []),
  };
}

/** What a client of libcoap is run with. */
export type CoapCall = {
  readonly tls?: 'openssl' | 'gnutls';
  readonly user?: string;
  readonly key?: string;
  readonly method?: 'get' | 'post' | 'put' | 'delete';
  readonly payload?: string;
  /** Path and query. */
  readonly target: string;
  /** More arguments, before the URI. */
  readonly more?: readonly string[];
  /** Instead of user and key; empty: plain CoAP. */
  readonly credential?: readonly string[];
};

/** A client gives up by itself after so many seconds. */
const GIVE_UP_S = 20;

/** A client of libcoap, until it ends; all that it printed. It exits with 0 whatever happened. */
export function coap(port: number, call: CoapCall): Promise<string> {
  const { tls = 'openssl', user = DEVICE, key = SECRET, method = 'post', payload, target, more = [] } = call;
  const credential = call.credential ?? ['-u', user, '-k', key];
  const scheme = credential.length === 0 ? 'coap' : 'coaps';
  const body = payload === undefined ? [] : ['-e', payload];
  const args = ['-v', '7', '-B', String(GIVE_UP_S), '-m', method, ...credential, ...body, ...more];
  const child = spawn(`coap-client-${tls}`, [...args, `${scheme}://127.0.0.1:${port}${target}`], { stdio: 'pipe' });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString('latin1');
    });
  child.once('error', reject);
  child.once('close', () => resolve(output));
  return promise;
}

/** The codes of the responses that a client printed. */
export function codesOf(output: string): readonly string[] {
  return [...output.matchAll(/t:(?:ACK|CON|NON) c:([2-5]\.\d\d)/g)].map(([, code]) => code ?? '');
}

/** The bodies of octets that a client printed, as text. */
export function bodiesOf(output: string): readonly string[] {
  return [...output.matchAll(/<<([0-9a-f]+)>>/g)].map(([, hex]) => Buffer.from(hex ?? '', 'hex').toString());
}

/** The fatal alert that a client received, as OpenSSL or GnuTLS words it; undefined: none. */
export function alertOf(output: string): string | undefined {
  const [, ofOpenssl, ofGnutls] = /alert read:fatal:([a-z ]+)|Alert '\d+': ([A-Za-z ]+)/.exec(output) ?? [];
  return (ofOpenssl ?? ofGnutls)?.toLowerCase();
}

/** A key on P-256 and a certificate that it has signed for itself. */
export function selfSigned(name: string): ServerCertificate {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-coap-'));
  const [keyFile, file] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-subj', `/CN=${name}`];
  execFileSync('openssl', ['req', '-x509', '-nodes', '-days', '2', ...kind, '-keyout', keyFile, '-out', file], {
    stdio: 'ignore',
  });
  const [key, { raw }] = [createPrivateKey(readFileSync(keyFile)), new X509Certificate(readFileSync(file))];
  rmSync(folder, { recursive: true });
  return { chain: [raw], key };
}

/** What OpenSSL's client prints of the certificate that the gateway shows; without one of its own it is refused then. */
export function shownBy(port: number): Promise<string> {
  const args = ['s_client', '-dtls1_2', '-connect', `127.0.0.1:${port}`];
  const child = spawn('openssl', args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')));
  child.once('error', reject);
  child.once('close', () => resolve(/subject=.*/.exec(output)?.[0] ?? output));
  return promise;
}

/** Waits until something is so; fails after 8 s. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    if (await holds()) return;
    await pause(20);
  }
  throw new Error(`never so: ${holds}`);
}
