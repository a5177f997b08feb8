import { setTimeout as sleep } from 'node:timers/promises';
import { type Child, type Ending, startChild } from './child.ts';
import type { Log } from './log.ts';
import type { StopSignals } from './signals.ts';

/** A service to start. */
export type Service<Field extends string> = {
  /** Its name in the log. */
  readonly name: string;
  /** Path of its entry file. */
  readonly script: string;
  readonly args: readonly string[];
  /** The texts that its ready line must have. */
  readonly fields: readonly Field[];
};

/** The processes of one launch. */
export type Fleet = {
  /** Starts a service and waits until it listens; undefined when the launch was over first. Throws when it hangs. */
  readonly start: <Field extends string>(service: Service<Field>) => Promise<Record<Field, string> | undefined>;
  /** Settled by what ends the launch: the end of a process, or undefined for a signal. */
  readonly over: Promise<Ending | undefined>;
  /** Stops every process, the last one first; whether all ended cleanly. */
  readonly stop: () => Promise<boolean>;
};

/** How long a service may take until it listens: a store that loads a million records needs some seconds. */
const READY_DEADLINE_MS = 60_000;

/** How long a service may take to stop: it gives itself 10 s, and is killed when even that hangs. */
const STOP_DEADLINE_MS = 15_000;

/** An empty fleet. */
export function createFleet(log: Log, signals: StopSignals): Fleet {
  const children: Child[] = [];
  const over = Promise.withResolvers<Ending | undefined>();
  let cause: Ending | undefined;
  void over.promise.then((ending) => {
    cause = ending;
  });
  signals.stop.addEventListener('abort', () => over.resolve(undefined));
  signals.kill.addEventListener('abort', () => {
    for (const child of children) child.signal('SIGKILL');
  });
  return {
    over: over.promise,
    start: async ({ name, script, args, fields }) => {
      const child = startChild({ name, script, args, onLine: log.pass });
      children.push(child);
      void child.ended.then(over.resolve);
      const ready = await within(READY_DEADLINE_MS, Promise.race([child.ready, over.promise.then(() => undefined)]));
      if (ready === 'late') throw new Error(`${name} does not listen after ${READY_DEADLINE_MS / 1000} s`);
      return ready === undefined ? undefined : pick(name, ready, fields);
    },
    stop: async () => {
      let clean = true;
      for (const child of children.toReversed()) clean = (await stopChild(child, log, cause)) && clean;
      return clean;
    },
  };
}

async function stopChild(child: Child, log: Log, cause: Ending | undefined): Promise<boolean> {
  child.signal('SIGTERM');
  const inTime = await within(STOP_DEADLINE_MS, child.ended);
  if (inTime === 'late') {
    child.signal('SIGKILL');
    log.say('error', `${child.name} hung and was killed`);
    return false;
  }
  // A service that was not up yet had no handler for the signal.
  const clean = inTime.code === 0 || inTime.how === 'signal SIGTERM';
  // What ended the launch has been told already.
  if (!clean && inTime !== cause) log.say('error', describeEnding(inTime));
  return clean;
}

/** How a process ended and its last errors, as one line. */
export function describeEnding({ name, how, errors }: Ending): string {
  return [`${name} ended with ${how}`, ...errors].join(': ');
}

function pick<Field extends string>(
  name: string,
  record: Readonly<Record<string, unknown>>,
  fields: readonly Field[],
): Record<Field, string> {
  const texts: Partial<Record<Field, string>> = {};
  for (const field of fields) {
    const value = record[field];
    if (typeof value !== 'string') throw new Error(`${name} is ready but does not tell its "${field}"`);
    texts[field] = value;
  }
  return texts as Record<Field, string>;
}

async function within<T>(deadlineMs: number, promise: Promise<T>): Promise<T | 'late'> {
  const timer = new AbortController();
  const late = sleep(deadlineMs, 'late' as const, { signal: timer.signal });
  // The timer is ended by its signal when the promise was faster; that is no failure.
  late.catch(() => undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}
