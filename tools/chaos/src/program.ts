import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, readFileSync, type WriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

/** How long a service may take until it listens, on a machine that is busy with the run. */
const READY_DEADLINE_MS = 30_000;

/** How often a process is started until it comes up; its store is away for a few seconds, after a failover for more. */
const MAX_STARTS = 40;
const START_PAUSE_MS = 250;

/** What a service says once it listens: its addresses by name. */
export type Ready = Readonly<Record<string, string>>;

type Running = { readonly child: ChildProcess; readonly exit: Promise<unknown>; readonly ready: Ready };

/** One service in a process of its own; it lives through many of them. */
export class Program {
  readonly #args: readonly string[];
  readonly #logFile: string;
  readonly #log: WriteStream;
  #running: Running | undefined;

  /** `args` are those of Node, the script among them; `logFile` is where the service's own log goes to. */
  constructor(args: readonly string[], logFile: string) {
    this.#args = args;
    this.#logFile = logFile;
    this.#log = createWriteStream(logFile, { flags: 'a' });
  }

  /** What the service said when it came up; undefined while there is no process. */
  get ready(): Ready | undefined {
    return this.#running?.ready;
  }

  /** Sends SIGSTOP or SIGCONT. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#running?.child.kill(signal);
  }

  /** Sends the process a message. */
  tell(message: object): void {
    const child = this.#running?.child;
    if (child?.connected === true) child.send(message);
  }

  /**
   * Starts a process, again and again until it comes up, as a supervisor would: a service whose store is away when it
   * starts ends at once. Rejects with the last reason.
   */
  async start(): Promise<Ready> {
    for (let tries = 1; ; tries++) {
      try {
        this.#running = await this.#launch();
        return this.#running.ready;
      } catch (error) {
        if (tries === MAX_STARTS) throw error;
      }
      await pause(START_PAUSE_MS);
    }
  }

  /** Ends the process as a crash would. */
  async kill(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    if (running === undefined) return;
    running.child.kill('SIGKILL');
    await running.exit;
  }

  /** Ends it for good. */
  async stop(): Promise<void> {
    await this.kill();
    this.#log.end();
  }

  async #launch(): Promise<Running> {
    // A group of its own: Ctrl-C reaches the tool alone. The channel tells the child when the tool is gone.
    const child = spawn(process.execPath, this.#args, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], detached: true });
    child.stderr?.pipe(this.#log, { end: false });
    const exit = once(child, 'exit');
    // One that is stopped hears nothing of the closed channel.
    const killWithUs = () => child.kill('SIGKILL');
    process.once('exit', killWithUs);
    child.once('exit', () => process.off('exit', killWithUs));
    return { child, exit, ready: await readyLine(child, this.#logFile) };
  }
}

async function readyLine(child: ChildProcess, logFile: string): Promise<Ready> {
  if (child.stdout === null) throw new Error('the child has no output');
  const lines = createInterface({ input: child.stdout });
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), READY_DEADLINE_MS);
  const { signal } = late;
  try {
    const ended = once(child, 'exit', { signal }).then(([code]) => {
      throw new Error(
        `a service ended with ${code} before it listened: ${readFileSync(logFile, 'utf8').slice(-2_000)}`,
      );
    });
    const [line] = (await Promise.race([once(lines, 'line', { signal }), ended])) as [string];
    ended.catch(() => undefined);
    return JSON.parse(line) as Ready;
  } catch (error) {
    child.kill('SIGKILL');
    throw late.signal.aborted ? new Error('a service does not listen') : error;
  } finally {
    clearTimeout(timer);
  }
}
