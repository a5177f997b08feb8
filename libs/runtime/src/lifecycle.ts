import { SettingsError } from './listen.ts';
import type { Log } from './log.ts';
import { stopPretenuring } from './pretenuring.ts';
import { keepTickShape } from './tick-shape.ts';

/** Addresses and what else a service's starter must know. */
export type Ready = Readonly<Record<string, unknown>>;

/** A service that runs. */
export type Running = {
  /** Its addresses and what else its starter must know. */
  readonly ready: Ready;
  /** Stops taking in, ends what is under way, closes. */
  readonly stop: () => Promise<void>;
  /** How much of its stop is waiting on purpose, milliseconds; it may take so much longer. */
  readonly drainMs?: number;
};

/** How long a stop may take, beyond its draining, before the process ends all the same; supervisors wait 30 s and more. */
const STOP_DEADLINE_MS = 10_000;

/**
 * Runs a service until SIGINT, SIGTERM or the end of its starter's channel, and tells when it is ready: by one JSON line on
 * standard output, unless told otherwise. Exit codes: 0 stopped as asked, 1 failed, 2 bad settings.
 */
export async function runService(
  log: Log,
  start: () => Promise<Running>,
  tell: (ready: Ready) => void = printReady,
): Promise<void> {
  stopPretenuring();
  void keepTickShape();
  process.on('uncaughtException', (error) => fail(log, error));
  process.on('unhandledRejection', (error) => fail(log, error));
  // What has not started has nothing to stop in order; nobody would ever stop it.
  const abandoned = () => fail(log, new Error('who started this service is gone'));
  process.once('disconnect', abandoned);
  let running: Running;
  try {
    running = await start();
  } catch (error) {
    if (!(error instanceof SettingsError)) return fail(log, error);
    log.error({}, error.message);
    process.exit(2);
  }
  process.off('disconnect', abandoned);
  onStop(log, running);
  tell(running.ready);
}

function printReady(ready: Ready): void {
  process.stdout.write(`${JSON.stringify({ event: 'ready', ...ready })}\n`);
}

function onStop(log: Log, running: Running): void {
  let stopping = false;
  const stop = (signal: string) => {
    if (stopping) return;
    stopping = true;
    log.info({ signal }, 'stopping');
    const deadlineMs = STOP_DEADLINE_MS + (running.drainMs ?? 0);
    // Not unref'd: a stop that hangs with nothing left to wait for would end as if it had succeeded.
    setTimeout(() => fail(log, new Error(`not stopped within ${deadlineMs} ms`)), deadlineMs);
    running.stop().then(
      () => {
        log.info({}, 'stopped');
        process.exit(0);
      },
      (error: unknown) => fail(log, error),
    );
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  // A launcher that dies, however it dies, takes its services with it.
  process.on('disconnect', () => stop('disconnect'));
}

function fail(log: Log, error: unknown): never {
  log.error({ err: error }, error instanceof Error ? error.message : 'failed');
  process.exit(1);
}
