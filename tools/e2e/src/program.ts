import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

/** The project's folder. */
export const PROJECT_DIR = resolve(import.meta.dirname, '../../..');

/** A process of the product that printed its ready line. */
export type Program = {
  readonly pid: number;
  /** What the ready line says. */
  readonly ready: Readonly<Record<string, string>>;
  /** Its last lines on standard error. */
  readonly said: () => string;
  /** Sends a signal (SIGTERM unless given) and waits for the end; gives the exit code, or null when a signal ended it. */
  readonly end: (signal?: NodeJS.Signals) => Promise<number | null>;
};

/** How a process ended that never was ready. */
export type Failure = { readonly code: number | null; readonly said: string };

/** How often a program that must come up is started. */
const STARTS = 5;

/** Lines of the log that are kept for a test that fails. */
const KEPT_LINES = 60;

/** The tests' own environment must not be settings of the product. Compiled code is kept: each step is a new process. */
const ENVIRONMENT = {
  PATH: process.env['PATH'],
  TMPDIR: process.env['TMPDIR'],
  NODE_COMPILE_CACHE: join(PROJECT_DIR, 'node_modules/.cache/latchkey/compiled'),
};

/** What still runs when the tests end, however they end, is killed. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Runs a file of the project with this Node. */
export function run(script: string, args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [join(PROJECT_DIR, script), ...args], {
    cwd: dirname(join(PROJECT_DIR, script)),
    env: ENVIRONMENT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/**
 * Starts a program and waits until it is ready, as a supervisor does: a service whose store does not answer in time, as on
 * a busy machine, ends with code 1 and is started again. Rejects with what it said when it ends otherwise, or too often.
 */
export async function start(script: string, args: readonly string[]): Promise<Program> {
  for (let attempt = 1; ; attempt++) {
    const outcome = await tryStart(script, args);
    if ('ready' in outcome) return outcome;
    if (outcome.code !== 1 || attempt === STARTS)
      throw new Error(`${script} ended with ${outcome.code}:\n${outcome.said}`);
  }
}

/** Starts a program that may end instead of being ready. */
export async function tryStart(script: string, args: readonly string[]): Promise<Program | Failure> {
  const child = run(script, args);
  running.add(child);
  const lines: string[] = [];
  const said = () => lines.join('\n');
  collect(child, lines);
  const ended = once(child, 'close').then(([code]: (number | null)[]) => {
    running.delete(child);
    return code ?? null;
  });
  const readyLine = await Promise.race([readyLineOf(child), ended.then(() => undefined)]);
  if (readyLine === undefined || child.pid === undefined) return { code: await ended, said: said() };
  return {
    pid: child.pid,
    ready: JSON.parse(readyLine),
    said,
    end: (signal = 'SIGTERM') => {
      child.kill(signal);
      return ended;
    },
  };
}

function collect(child: ChildProcess, lines: string[]): void {
  if (child.stderr === null) throw new Error('standard error is not a pipe');
  createInterface(child.stderr).on('line', (line) => {
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
  });
}

function readyLineOf(child: ChildProcess): Promise<string> {
  return new Promise((found) => {
    if (child.stdout === null) throw new Error('standard output is not a pipe');
    createInterface(child.stdout).on('line', (line) => {
      if (line.startsWith('{"event":"ready"')) found(line);
    });
  });
}
