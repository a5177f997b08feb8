import { formatLogLine, parseLogLine } from './log-line.ts';

/** The one log of all processes. */
export type Log = {
  /** A line that a service wrote. */
  readonly pass: (service: string, line: string) => void;
  /** A message of the launcher itself. */
  readonly say: (level: 'info' | 'error', msg: string) => void;
};

/** Writes one line per record: for people, or with `json` the records as they are. */
export function createLog(options: {
  readonly json: boolean;
  readonly write: (text: string) => void;
  readonly now: () => number;
}): Log {
  const { json, write, now } = options;
  const pass = (service: string, line: string) => {
    const record = parseLogLine(line);
    if (!json) return write(`${formatLogLine(service, record, now())}\n`);
    // Text that no logger made gets the columns that every record has.
    const columns = { time: new Date(now()).toISOString(), service };
    write(`${'time' in record ? line : JSON.stringify({ ...columns, ...record })}\n`);
  };
  const say = (level: 'info' | 'error', msg: string) => pass('start', JSON.stringify({ level, msg }));
  return { pass, say };
}
