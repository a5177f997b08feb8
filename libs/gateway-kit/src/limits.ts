import { numberOption } from '@latchkey/runtime';

/** How much a gateway takes in; all of it can be set. */
export type Limits = {
  /** Open connections, over all listeners. */
  readonly connections: number;
  /** Open connections of one source: an IPv4 address or an IPv6 /64. */
  readonly sourceConnections: number;
  /** New connections of one source in a second. */
  readonly sourceRate: number;
  /** Questions to the auth service at a time. */
  readonly decisions: number;
  /** No new connections while the event loop is late by more; 0: never mind. */
  readonly loopDelayMs: number;
  /** How long a stop takes to close the sessions. */
  readonly drainMs: number;
};

/** The limits as the command line has them. */
export type LimitFlags = {
  readonly maxConnections: number;
  readonly maxSourceConnections: number;
  readonly maxSourceRate: number;
  readonly maxDecisions: number;
  readonly maxLoopDelayMs: number;
  readonly drainSeconds: number;
};

/** The options of every gateway that set its limits; each may come from the environment. */
export function limitOptions() {
  return [
    numberOption('--max-connections <n>', 'open connections; what comes over is closed at once', {
      ...{ fallback: 100_000, min: 1, max: 10_000_000 },
    }).env('LATCHKEY_MAX_CONNECTIONS'),
    numberOption(
      '--max-source-connections <n>',
      'open connections of one source (an IPv4 address, an IPv6 /64); raise it behind a proxy that hides the addresses',
      { fallback: 20_000, min: 1, max: 10_000_000 },
    ).env('LATCHKEY_MAX_SOURCE_CONNECTIONS'),
    numberOption('--max-source-rate <n>', 'new connections of one source in a second; twice as many at once', {
      ...{ fallback: 1_000, min: 1, max: 1_000_000 },
    }).env('LATCHKEY_MAX_SOURCE_RATE'),
    // At 2,000 decisions a second these are answered within their deadline of 2 s; one holds about 10 KB.
    numberOption(
      '--max-decisions <n>',
      'questions to the auth service at a time; over that devices are told to come again',
      {
        ...{ fallback: 4_000, min: 1, max: 100_000 },
      },
    ).env('LATCHKEY_MAX_DECISIONS'),
    numberOption(
      '--max-loop-delay-ms <ms>',
      'take no new connections while the process is late by more; 0: take them',
      {
        ...{ fallback: 500, min: 0, max: 60_000 },
      },
    ).env('LATCHKEY_MAX_LOOP_DELAY_MS'),
    numberOption('--drain-seconds <s>', 'at a stop, close the sessions spread over so long a time, at most', {
      ...{ fallback: 5, min: 0, max: 600 },
    }).env('LATCHKEY_DRAIN_SECONDS'),
  ];
}

/** The limits that the flags set. */
export function limitsOf(flags: LimitFlags): Limits {
  return {
    connections: flags.maxConnections,
    sourceConnections: flags.maxSourceConnections,
    sourceRate: flags.maxSourceRate,
    decisions: flags.maxDecisions,
    loopDelayMs: flags.maxLoopDelayMs,
    drainMs: flags.drainSeconds * 1_000,
  };
}
