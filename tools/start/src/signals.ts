import type { EventEmitter } from 'node:events';

/** What the operator asks for. */
export type StopSignals = {
  /** Aborted by the first Ctrl-C, SIGTERM or SIGHUP: stop in order. */
  readonly stop: AbortSignal;
  /** Aborted by a second one: kill. */
  readonly kill: AbortSignal;
};

/** `npm start` passes on a Ctrl-C that the terminal has delivered already: within this time it is the same one. */
export const SAME_SIGNAL_MS = 500;

/** Listens to a process's signals. */
export function listenToSignals(source: EventEmitter): StopSignals {
  const stop = new AbortController();
  const kill = new AbortController();
  let isSecond = false;
  const onSignal = () => {
    if (isSecond) kill.abort();
    if (stop.signal.aborted) return;
    stop.abort();
    setTimeout(() => {
      isSecond = true;
    }, SAME_SIGNAL_MS).unref();
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) source.on(name, onSignal);
  return { stop: stop.signal, kill: kill.signal };
}
