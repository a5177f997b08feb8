import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long a process may take until it listens, and to stop before it is killed; a service gives itself 10 s. */
const READY_DEADLINE_MS = 30_000;
const STOP_DEADLINE_MS = 12_000;

/** Linux counts CPU time for users in hundredths of a second, whatever its kernel is built for (proc(5), USER_HZ). */
const TICK_US = 10_000;

/** A group of its own: Ctrl-C reaches the bench alone. */
const APART = { detached: true } as const;
const OUT = ['pipe', 'inherit'] as const;

/** A server to be measured. */
export type Server = {
  /** A text of the line that it printed when it listened. Throws when it is not there. */
  readonly field: (name: string) => string;
  /** CPU time of the process so far, all its threads, microseconds; in steps of 10 ms. */
  readonly cpuUs: () => number;
  /** Stops the process where it is, and lets it go on. */
  readonly signal: (signal: 'SIGSTOP' | 'SIGCONT') => void;
  /** CPU time so far of each process that it has started, microseconds; in steps of 10 ms. */
  readonly childrenCpuUs: () => readonly number[];
};

/** The processes and directories of a run, which end with it. */
export class Processes {
  readonly #children = new Set<ChildProcess>();
  readonly #directories: string[] = [];
  readonly #others: (() => Promise<void>)[] = [];

  /** Starts a script with this Node and waits for its ready line. Rejects when it ends first or hangs. */
  start(script: string, args: readonly string[]): Promise<Server> {
    // The channel tells the child when the bench is gone.
    return this.#launch(
      script,
      spawn(process.execPath, [script, ...args], { ...APART, stdio: ['ignore', ...OUT, 'ipc'] }),
    );
  }

  /** The same with a program, which ends with its input. */
  startProgram(program: string): Promise<Server> {
    return this.#launch(program, spawn(program, { ...APART, stdio: ['pipe', ...OUT] }));
  }

  async #launch(name: string, child: ChildProcess): Promise<Server> {
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    const ready = await readyLine(child, name);
    return {
      field: (field) => {
        const value = ready[field];
        if (typeof value !== 'string') throw new Error(`${name} is ready but does not tell its "${field}"`);
        return value;
      },
      cpuUs: () => cpuUsOf(child.pid),
      signal: (signal) => void child.kill(signal),
      childrenCpuUs: () => childrenOf(child.pid).map(cpuUsOf),
    };
  }

  /** A new directory. */
  directory(): string {
    const directory = mkdtempSync(join(tmpdir(), 'latchkey-bench-'));
    this.#directories.push(directory);
    return directory;
  }

  /** Has something else end with the run, after the processes. */
  add(stop: () => Promise<void>): void {
    this.#others.push(stop);
  }

  /** Stops every process and what else there is, then removes the directories. */
  async stop(): Promise<void> {
    await Promise.all([...this.#children].map(stopChild));
    for (const stop of this.#others.splice(0).reverse()) await stop();
    for (const directory of this.#directories.splice(0)) rmSync(directory, { recursive: true, force: true });
  }
}

async function readyLine(child: ChildProcess, script: string): Promise<Readonly<Record<string, unknown>>> {
  if (child.stdout === null) throw new Error('the child has no output');
  const lines = createInterface({ input: child.stdout });
  const signal = AbortSignal.timeout(READY_DEADLINE_MS);
  return new Promise((resolve, reject) => {
    lines.once('line', (line) => resolve(JSON.parse(line) as Record<string, unknown>));
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${script} ended with ${code} before it listened`)));
    signal.addEventListener('abort', () => reject(new Error(`${script} does not listen`)));
  });
}

async function stopChild(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const late = new AbortController();
  const killed = sleep(STOP_DEADLINE_MS, undefined, { signal: late.signal }).then(
    () => child.kill('SIGKILL'),
    () => undefined, // it ended in time
  );
  await Promise.race([ended, killed]);
  late.abort();
}

/** CPU time of a process so far, all its threads, microseconds; in steps of 10 ms. */
export function cpuUsOf(pid: number | undefined): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field, the name in parentheses, may hold anything; utime and stime are the 14th and 15th.
  const [utime, stime] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number);
  return ((utime ?? 0) + (stime ?? 0)) * TICK_US;
}

function childrenOf(pid: number | undefined): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}
