import { join } from 'node:path';
import { Program } from './program.ts';

/** What a gateway is started with. */
export type GatewayOptions = {
  /** The source tree that it runs from. */
  readonly tree: string;
  /** Where its auth replicas are for it: behind its fault proxy. */
  readonly authPorts: readonly number[];
  /** The file that its own log goes to. */
  readonly logFile: string;
};

/** One MQTT gateway in a process of its own; it lives through many of them. */
export class Gateway {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  /** Starts one. */
  static async start({ tree, authPorts, logFile }: GatewayOptions): Promise<Gateway> {
    const main = join(tree, 'services/mqtt-gateway/src/main.ts');
    const listeners = ['--mqtt', '127.0.0.1:0', '--metrics', '127.0.0.1:0'];
    const auth = authPorts.map((port) => `127.0.0.1:${port}`).join(',');
    const args = [main, ...listeners, '--auth', auth, '--log-level', 'warn'];
    const gateway = new Gateway(new Program(args, logFile));
    await gateway.start();
    return gateway;
  }

  /** Where devices connect; undefined while there is no process. */
  get port(): number | undefined {
    const address = this.#program.ready?.['mqtt'];
    return address === undefined ? undefined : Number(address.slice(address.lastIndexOf(':') + 1));
  }

  /** Sends SIGSTOP or SIGCONT. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#program.signal(signal);
  }

  /** Starts a process. */
  async start(): Promise<void> {
    await this.#program.start();
  }

  /** Ends the process as a crash would. */
  async kill(): Promise<void> {
    await this.#program.kill();
  }

  /** Ends it for good. */
  async stop(): Promise<void> {
    await this.#program.stop();
  }
}
