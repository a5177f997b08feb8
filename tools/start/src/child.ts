import { spawn } from 'node:child_process';
import { eachLine } from './lines.ts';
import { parseLogLine, parseRecord } from './log-line.ts';

/** A service's process. */
export type Child = {
  /** Its name in the log. */
  readonly name: string;
  /** What it printed when it listened; undefined when it ended before that. */
  readonly ready: Promise<Readonly<Record<string, unknown>> | undefined>;
  /** Settled when the process and its output have ended. Never rejects. */
  readonly ended: Promise<Ending>;
  /** Sends a signal; nothing happens when it has ended. */
  readonly signal: (signal: 'SIGTERM' | 'SIGKILL') => void;
};

/** How a process ended. */
export type Ending = {
  readonly name: string;
  /** `exit code 1`, `signal SIGKILL`, or why it could not be started. */
  readonly how: string;
  /** Its exit code; undefined when a signal ended it or it never ran. */
  readonly code: number | undefined;
  /** The messages of its last errors, oldest first. */
  readonly errors: readonly string[];
};

/** Error messages kept of each child: the cause is among the last ones, and a crash loop costs no memory. */
const KEPT_ERRORS = 5;

/** What Node prints below the message of an error that nobody caught. */
const STACK_LINE = /^\s+at |^Node\.js v/;

/**
 * Starts a script with this Node. It has a channel to this process, which tells it when this process ends, and a
 * process group of its own: a Ctrl-C reaches the launcher alone, which stops the services in order.
 */
export function startChild(options: {
  readonly name: string;
  readonly script: string;
  readonly args: readonly string[];
  /** Each line of its log. */
  readonly onLine: (name: string, line: string) => void;
}): Child {
  const { name, script, args, onLine } = options;
  const errors: string[] = [];
  const child = spawn(process.execPath, [script, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    detached: true,
  });
  const ready = Promise.withResolvers<Readonly<Record<string, unknown>> | undefined>();
  const ended = Promise.withResolvers<Ending>();
  const log = (line: string) => {
    const { level, msg } = parseLogLine(line);
    if ((level === 'error' || level === 'warn') && !STACK_LINE.test(msg)) errors.push(msg);
    if (errors.length > KEPT_ERRORS) errors.shift();
    onLine(name, line);
  };
  const end = (how: string, code?: number) => {
    ready.resolve(undefined);
    ended.resolve({ name, how, code, errors });
  };
  if (child.stderr !== null) eachLine(child.stderr, log);
  if (child.stdout !== null) {
    eachLine(child.stdout, (line) => {
      const record = parseRecord(line);
      if (record?.['event'] === 'ready') ready.resolve(record);
      else log(line);
    });
  }
  child.on('error', (error) => end(error.message));
  child.on('close', (code, signal) => (code === null ? end(`signal ${signal}`) : end(`exit code ${code}`, code)));
  return { name, ready: ready.promise, ended: ended.promise, signal: (signal) => void child.kill(signal) };
}
