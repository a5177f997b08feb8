/** A line of a service's log: what it wrote as JSON, or any other text, such as a warning of Node itself. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly level: string; readonly msg: string };

const OWN_COLUMNS = new Set(['time', 'level', 'service', 'msg', 'err']);

/** Reads a line. What is not a JSON record of the house becomes a warning with the line as its message. */
export function parseLogLine(line: string): LogLine {
  const record = parseRecord(line);
  if (typeof record?.['level'] !== 'string' || typeof record['msg'] !== 'string') return { level: 'warn', msg: line };
  return { ...record, level: record['level'], msg: record['msg'] };
}

/** A record for people: `18:09:50 auth  info  listening port=7410`, the time in UTC, on one line whatever it holds. */
export function formatLogLine(service: string, line: LogLine, now: number): string {
  const time = typeof line['time'] === 'string' ? line['time'] : new Date(now).toISOString();
  const fields = Object.entries(line)
    .filter(([name]) => !OWN_COLUMNS.has(name))
    .map(([name, value]) => `${name}=${formatValue(value)}`);
  const text = [time.slice(11, 19), service.padEnd(5), line.level.padEnd(5), line.msg, ...fields].join(' ');
  return printable(text);
}

/** A JSON object, or undefined. */
export function parseRecord(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    // Not JSON: an answer of its own, since anything may write to a standard stream.
    return undefined;
  }
}

function formatValue(value: unknown): string {
  return typeof value === 'string' && /^[^\s"=\p{Cc}]+$/u.test(value) ? value : (JSON.stringify(value) ?? '');
}

/** Control and format characters as spaces: what a device sent must not drive the operator's terminal. */
function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ');
}
