import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, readFileSync, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { createClient, type Interceptor } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { Client, credentials } from '@grpc/grpc-js';
import { CredentialService, DeviceService } from '@latchkey/protocol/v1';

/** How long a replica may take until it listens, on a machine that is busy with the run. */
const READY_DEADLINE_MS = 30_000;

/** How often a process is started until it comes up; its store is away for a few seconds, after a failover for more. */
const MAX_STARTS = 40;
const START_PAUSE_MS = 250;

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
};

type Running = {
  readonly child: ChildProcess;
  readonly exit: Promise<unknown>;
  readonly gateway: Client;
  readonly operator: Operator;
};

/** The operator's clients of one replica. */
export type Operator = {
  readonly devices: ReturnType<typeof createClient<typeof DeviceService>>;
  readonly credentials: ReturnType<typeof createClient<typeof CredentialService>>;
};

/** One auth service in a process of its own; it lives through many of them. */
export class Replica {
  readonly #options: ReplicaOptions;
  readonly #token: () => string;
  readonly #log: WriteStream;
  #running: Running | undefined;

  private constructor(options: ReplicaOptions, token: () => string) {
    this.#options = options;
    this.#token = token;
    this.#log = createWriteStream(options.logFile, { flags: 'a' });
  }

  /** Starts one. `token` gives the operators' token once the service is up. */
  static async start(options: ReplicaOptions, token: () => string): Promise<Replica> {
    const replica = new Replica(options, token);
    await replica.start();
    return replica;
  }

  /** The gateways' channel; undefined while there is no process. */
  get gateway(): Client | undefined {
    return this.#running?.gateway;
  }

  /** The operator's clients; undefined while there is no process. */
  get operator(): Operator | undefined {
    return this.#running?.operator;
  }

  /** Sends SIGSTOP or SIGCONT. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#running?.child.kill(signal);
  }

  /** Sets its wall clock this far off. */
  skew(skewMs: number): void {
    const child = this.#running?.child;
    if (child?.connected === true) child.send({ skewMs });
  }

  /**
   * Starts a process, again and again until it comes up, as a supervisor would: a service whose store is away when it
   * starts ends at once. Rejects with the last reason.
   */
  async start(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#launch();
      } catch (error) {
        if (tries === MAX_STARTS) throw error;
      }
      await pause(START_PAUSE_MS);
    }
  }

  async #launch(): Promise<void> {
    const { tree, storeUrl, directory, keyFile } = this.#options;
    const store = ['--store', storeUrl, '--data-dir', directory, '--key-file', keyFile];
    const ports = ['--grpc', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--report-decision-times', '--log-level', 'warn'];
    const main = join(tree, 'services/auth/src/main.ts');
    // A group of its own: Ctrl-C reaches the tool alone. The channel tells the child when the tool is gone.
    const child = spawn(process.execPath, ['--import', CLOCK, main, ...store, ...ports], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
    });
    child.stderr?.pipe(this.#log, { end: false });
    const exit = once(child, 'exit');
    // One that is stopped hears nothing of the closed channel.
    const killWithUs = () => child.kill('SIGKILL');
    process.once('exit', killWithUs);
    child.once('exit', () => process.off('exit', killWithUs));
    const ready = await readyLine(child, this.#options.logFile);
    this.#running = {
      child,
      exit,
      gateway: new Client(ready.grpc, credentials.createInsecure()),
      operator: operatorOf(ready.admin, this.#token()),
    };
  }

  /** Ends the process as a crash would. */
  async kill(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    if (running === undefined) return;
    running.child.kill('SIGKILL');
    await running.exit;
    running.gateway.close();
  }

  /** Ends it for good. */
  async stop(): Promise<void> {
    await this.kill();
    this.#log.end();
  }
}

type Ready = { readonly grpc: string; readonly admin: string };

async function readyLine(child: ChildProcess, logFile: string): Promise<Ready> {
  if (child.stdout === null) throw new Error('the child has no output');
  const lines = createInterface({ input: child.stdout });
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), READY_DEADLINE_MS);
  const { signal } = late;
  try {
    const ended = once(child, 'exit', { signal }).then(([code]) => {
      throw new Error(
        `a replica ended with ${code} before it listened: ${readFileSync(logFile, 'utf8').slice(-2_000)}`,
      );
    });
    const [line] = (await Promise.race([once(lines, 'line', { signal }), ended])) as [string];
    ended.catch(() => undefined);
    return JSON.parse(line) as Ready;
  } catch (error) {
    child.kill('SIGKILL');
    throw late.signal.aborted ? new Error('a replica does not listen') : error;
  } finally {
    clearTimeout(timer);
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
