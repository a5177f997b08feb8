import { type DestinationStream, destination, pino } from 'pino';

/** Structured log lines. Fields named like a secret are cut out, whatever their depth up to two. */
export type Log = {
  readonly debug: (fields: object, message: string) => void;
  readonly info: (fields: object, message: string) => void;
  readonly warn: (fields: object, message: string) => void;
  readonly error: (fields: object, message: string) => void;
};

/** Levels, from the most to the least talkative. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

/** A level. */
export type LogLevel = (typeof LOG_LEVELS)[number];

const SECRET_FIELDS = ['secret', 'password', 'token', 'key', 'authorization', 'proof'];

/** A log of JSON lines on standard error (standard output carries only what a command prints). */
export function createLog(options: {
  readonly service: string;
  readonly level: LogLevel;
  /** The number of the process, where a service has several. */
  readonly worker?: number | undefined;
  readonly to?: DestinationStream;
}): Log {
  return pino(
    {
      level: options.level,
      base: { service: options.service, ...(options.worker === undefined ? {} : { worker: options.worker }) },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_FIELDS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[secret]' },
    },
    options.to ?? destination({ fd: 2, sync: true }),
  );
}
