import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { StoreUnavailable } from '../store.ts';
import type { Command, Outcome, Outcomes, Reply, Request } from './commands.ts';

/** Commands that may wait: about half a second of work at 20,000 a second; more would only wait past its deadline. */
export const QUEUE_MAX_COMMANDS = 10_000;

// One transaction, one fsync: large enough to spread an fsync of a few ms, small enough to answer within 50 ms.
const BATCH_MAX_COMMANDS = 512;

type Waiting = {
  readonly command: Command;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: StoreUnavailable) => void;
};

/** Called with a committed batch, before any of its commands answers. */
export type Committed = (commands: readonly Command[], outcomes: readonly Outcome[]) => void;

/** Commands on their way to the worker: while one batch is being written the next one gathers (group commit). */
export class WriteQueue {
  readonly #worker: Worker;
  readonly #committed: Committed;
  #waiting: Waiting[] = [];
  #flying: readonly Waiting[] = [];
  #ended: StoreUnavailable | undefined;
  #exited = false;
  #drained: (() => void) | undefined;

  private constructor(worker: Worker, committed: Committed) {
    this.#worker = worker;
    this.#committed = committed;
    worker.on('message', (reply: Reply) => this.#take(reply));
    worker.on('error', (cause) => this.#fail(new StoreUnavailable('the writing thread has failed', { cause })));
    worker.on('exit', () => {
      this.#exited = true;
      this.#fail(new StoreUnavailable('the writing thread has ended'));
    });
  }

  /** Starts the worker over a prepared and locked directory. */
  static async start(directory: string, committed: Committed): Promise<WriteQueue> {
    // Without the flags of this process: some of them, such as --input-type, keep a thread from starting.
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: directory, execArgv: [] });
    await once(worker, 'message');
    return new WriteQueue(worker, committed);
  }

  /** Commands that wait or are being written. */
  get pending(): number {
    return this.#flying.length + this.#waiting.length;
  }

  /** Why nothing can be written any more; undefined while all is well. */
  get ended(): StoreUnavailable | undefined {
    return this.#ended;
  }

  /** Carries out one command; durable when it answers. Rejects with a StoreUnavailable when the queue is full or ended. */
  submit<K extends Command['kind']>(command: Extract<Command, { kind: K }>): Promise<Outcomes[K]> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    if (this.#waiting.length >= QUEUE_MAX_COMMANDS) {
      return Promise.reject(new StoreUnavailable(`${QUEUE_MAX_COMMANDS} writes are waiting already`));
    }
    return new Promise((resolve, reject) => {
      // The worker answers each kind of command with its own kind of outcome.
      this.#waiting.push({ command, resolve: (outcome) => resolve(outcome as Outcomes[K]), reject });
      // Sent at the end of this turn, so that what one turn submits shares a transaction.
      if (this.#flying.length === 0 && this.#waiting.length === 1) setImmediate(() => this.#send());
    });
  }

  /** Takes nothing more and finishes what waits. */
  async drain(): Promise<void> {
    this.#ended ??= new StoreUnavailable('the store is closed');
    if (this.#flying.length + this.#waiting.length === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }

  /** Ends the worker; after `drain`. */
  async stop(): Promise<void> {
    if (this.#exited) return;
    const exited = once(this.#worker, 'exit');
    this.#post('CLOSE');
    await exited;
  }

  #post(request: Request): void {
    this.#worker.postMessage(request);
  }

  #send(): void {
    if (this.#flying.length > 0 || this.#waiting.length === 0) return;
    this.#flying = this.#waiting.splice(0, BATCH_MAX_COMMANDS);
    this.#post(this.#flying.map(({ command }) => command));
  }

  #take(reply: Reply): void {
    const flying = this.#flying;
    this.#flying = [];
    if (reply.kind === 'COMMITTED') {
      this.#committed(
        flying.map(({ command }) => command),
        reply.outcomes,
      );
      for (const [index, outcome] of reply.outcomes.entries()) flying[index]?.resolve(outcome);
    }
    if (reply.kind === 'FAILED') {
      const error = new StoreUnavailable(`the database refused to write: ${reply.message}`);
      for (const { reject } of flying) reject(error);
      if (reply.fatal) this.#fail(error);
    }
    this.#send();
    this.#tellDrained();
  }

  #fail(error: StoreUnavailable): void {
    this.#ended ??= error;
    for (const { reject } of [...this.#flying, ...this.#waiting]) reject(error);
    this.#flying = [];
    this.#waiting = [];
    this.#tellDrained();
  }

  #tellDrained(): void {
    if (this.#flying.length + this.#waiting.length === 0) this.#drained?.();
  }
}
