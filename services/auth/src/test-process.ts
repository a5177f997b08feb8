import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError, createClient, type Interceptor } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { Client, credentials } from '@grpc/grpc-js';
import {
  type AuthenticateRequest,
  AuthenticateRequestSchema,
  AuthenticationService,
  CertificateService,
  CredentialService,
  DeviceService,
  Protocol,
} from '@latchkey/protocol/v1';
import { type UnaryMethod, unaryMethod } from '@latchkey/rpc';

/** A started service, or one that has refused to start. */
export type AuthProcess = {
  readonly child: ChildProcess;
  /** What it printed when it listened; undefined: it ended before. */
  readonly ready: Readonly<Record<'grpc' | 'admin' | 'token' | 'dataDir', string>> | undefined;
  /** All that it wrote to standard error so far. */
  readonly log: () => string;
  /** Its exit code, once it has ended. */
  readonly exit: Promise<number | null>;
  /** Ends it with SIGTERM, or as given; answers the exit code. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<number | null>;
};

const MAIN = join(import.meta.dirname, 'main.ts');

/** Starts the real service on free loopback ports and waits until it listens or has ended. */
export async function startProcess(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<AuthProcess> {
  const ports = ['--grpc', '127.0.0.1:0', '--admin', '127.0.0.1:0'];
  const child = spawn(process.execPath, [MAIN, ...ports, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, ...env },
  });
  let log = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    log += chunk.toString();
  });
  // Not its 'close': that never comes once the channel was disconnected from this side.
  const exit = Promise.all([once(child, 'exit'), once(child.stderr as NodeJS.ReadableStream, 'close')]).then(
    ([[code]]) => code as number | null,
  );
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const line = await Promise.race([once(lines, 'line').then(([text]) => text as string), exit.then(() => undefined)]);
  return {
    child,
    ready: line === undefined ? undefined : JSON.parse(line),
    log: () => log,
    exit,
    stop: (signal = 'SIGTERM') => {
      child.kill(signal);
      return exit;
    },
  };
}

/** Clients of one service, as its operator and its gateways have them. */
export type Clients = {
  readonly devices: ReturnType<typeof createClient<typeof DeviceService>>;
  readonly credentials: ReturnType<typeof createClient<typeof CredentialService>>;
  readonly certificates: ReturnType<typeof createClient<typeof CertificateService>>;
  readonly authenticate: UnaryMethod<
    typeof AuthenticationService.method.authenticate.input,
    typeof AuthenticationService.method.authenticate.output
  >;
  readonly channel: Client;
};

/** Where a service is, as its ready line says. */
export type Place = { readonly grpc: string; readonly admin: string };

/**
 * A service whose process had no turn for a second has no lease and says so, on a busy machine in any test: its callers
 * ask again, as gateways and operators do.
 */
const ATTEMPTS = 5;
const RETRY_MS = 300;
const RETRIED = {
  name: [{ service: '' }],
  retryPolicy: {
    maxAttempts: ATTEMPTS,
    ...{ initialBackoff: '0.3s', maxBackoff: '1s', backoffMultiplier: 1.5 },
    retryableStatusCodes: ['UNAVAILABLE'],
  },
};
const retry: Interceptor = (next) => async (request) => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await next(request);
    } catch (error) {
      if (ConnectError.from(error).code !== Code.Unavailable || attempt === ATTEMPTS) throw error;
    }
    await pause(attempt * RETRY_MS);
  }
};

/** Clients with this token; without one the operator's calls carry none. */
export function clientsOf({ grpc, admin }: Place, token: string | undefined): Clients {
  const authorize: Interceptor = (next) => (request) => {
    if (token !== undefined) request.header.set('authorization', `Bearer ${token}`);
    return next(request);
  };
  const transport = createConnectTransport({ baseUrl: admin, httpVersion: '1.1', interceptors: [retry, authorize] });
  const channel = new Client(grpc, credentials.createInsecure(), {
    'grpc.service_config': JSON.stringify({ loadBalancingConfig: [], methodConfig: [RETRIED] }),
  });
  return {
    devices: createClient(DeviceService, transport),
    credentials: createClient(CredentialService, transport),
    certificates: createClient(CertificateService, transport),
    authenticate: unaryMethod(channel, AuthenticationService.method.authenticate, Date.now),
    channel,
  };
}

/** Clients with the token that lies in the data directory. */
export function operatorOf(ready: AuthProcess['ready']): Clients {
  if (ready === undefined) throw new Error('the service did not start');
  return clientsOf(ready, readFileSync(ready.token, 'utf8').trim());
}

/** A fresh directory, and the way to remove it. */
export async function freshDirectory(): Promise<{ readonly path: string; readonly remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'latchkey-auth-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** An attempt over MQTT with a secret in clear. */
export function attempt(deviceId: string, secret: string): AuthenticateRequest {
  return create(AuthenticateRequestSchema, {
    deviceId,
    protocol: Protocol.MQTT,
    proof: { kind: { case: 'secret', value: { secret } } },
  });
}
