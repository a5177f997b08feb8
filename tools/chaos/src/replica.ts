import { join } from 'node:path';
import { createClient, type Interceptor } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { Client, credentials } from '@grpc/grpc-js';
import { CredentialService, DeviceService } from '@latchkey/protocol/v1';
import { Program } from './program.ts';

const CLOCK = join(import.meta.dirname, 'skewed-clock.ts');

/** What a replica is started with. */
export type ReplicaOptions = {
  /** The source tree that it runs from. */
  readonly tree: string;
  /** Where the store is for it: behind its fault proxy. */
  readonly storeUrl: string;
  readonly directory: string;
  readonly keyFile: string;
  /** The file that its own log goes to. */
  readonly logFile: string;
  /** The operators' token, once the service is up. */
  readonly token: () => string;
  /** Hears the gateways' port each time that it listens. */
  readonly listening: (port: number) => Promise<void>;
};

type Channels = { readonly gateway: Client; readonly operator: Operator };

/** The operator's clients of one replica. */
export type Operator = {
  readonly devices: ReturnType<typeof createClient<typeof DeviceService>>;
  readonly credentials: ReturnType<typeof createClient<typeof CredentialService>>;
};

/** One auth service in a process of its own; it lives through many of them. */
export class Replica {
  readonly #options: ReplicaOptions;
  readonly #program: Program;
  #channels: Channels | undefined;

  private constructor(options: ReplicaOptions) {
    const { tree, storeUrl, directory, keyFile, logFile } = options;
    const store = ['--store', storeUrl, '--data-dir', directory, '--key-file', keyFile];
    const ports = ['--grpc', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--report-decision-times', '--log-level', 'warn'];
    const main = join(tree, 'services/auth/src/main.ts');
    this.#program = new Program(['--import', CLOCK, main, ...store, ...ports], logFile);
    this.#options = options;
  }

  /** Starts one. */
  static async start(options: ReplicaOptions): Promise<Replica> {
    const replica = new Replica(options);
    await replica.start();
    return replica;
  }

  /** The gateways' channel; undefined while there is no process. */
  get gateway(): Client | undefined {
    return this.#channels?.gateway;
  }

  /** The operator's clients; undefined while there is no process. */
  get operator(): Operator | undefined {
    return this.#channels?.operator;
  }

  /** Sends SIGSTOP or SIGCONT. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#program.signal(signal);
  }

  /** Sets its wall clock this far off. */
  skew(skewMs: number): void {
    this.#program.tell({ skewMs });
  }

  /** Starts a process. Rejects when none comes up. */
  async start(): Promise<void> {
    const { grpc = '', admin = '' } = await this.#program.start();
    const gateway = new Client(grpc, credentials.createInsecure());
    this.#channels = { gateway, operator: operatorOf(admin, this.#options.token()) };
    await this.#options.listening(Number(grpc.slice(grpc.lastIndexOf(':') + 1)));
  }

  /** Ends the process as a crash would. */
  async kill(): Promise<void> {
    const channels = this.#channels;
    this.#channels = undefined;
    await this.#program.kill();
    channels?.gateway.close();
  }

  /** Ends it for good. */
  async stop(): Promise<void> {
    await this.kill();
    await this.#program.stop();
  }
}

function operatorOf(baseUrl: string, token: string): Operator {
  const authorize: Interceptor = (next) => (request) => {
    request.header.set('authorization', `Bearer ${token}`);
    return next(request);
  };
  const transport = createConnectTransport({ baseUrl, httpVersion: '1.1', interceptors: [authorize] });
  return {
    devices: createClient(DeviceService, transport),
    credentials: createClient(CredentialService, transport),
  };
}
