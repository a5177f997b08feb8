import { expect, test } from 'vitest';
import { createLog } from './log.ts';

const NOW = Date.UTC(2026, 10, 23, 18, 9, 50);
const RECORD =
  '{"level":"info","time":"2026-11-23T18:09:50.123Z","service":"auth","msg":"listening","port":7410,"store":"a b"}';

function logged(json: boolean, line: string): string {
  let text = '';
  const log = createLog({ json, write: (part) => (text += part), now: () => NOW });
  log.pass('auth', line);
  return text;
}

test('for people a record is one line with its fields behind the message', () => {
  expect(logged(false, RECORD)).toBe('18:09:50 auth  info  listening port=7410 store="a b"\n');
});

test('as JSON a record passes as it is', () => {
  expect(logged(true, RECORD)).toBe(`${RECORD}\n`);
});

test('other text is a warning of the service', () => {
  expect(logged(false, 'Warning: old')).toBe('18:09:50 auth  warn  Warning: old\n');
  expect(JSON.parse(logged(true, '[1]'))).toEqual({
    ...{ time: '2026-11-23T18:09:50.000Z', service: 'auth', level: 'warn', msg: '[1]' },
  });
});

test('an error is its message; the stack stays in the JSON record', () => {
  const line = JSON.stringify({
    level: 'error',
    time: '2026-11-23T18:09:50Z',
    msg: 'no',
    err: { stack: 'Error\n at x' },
  });
  expect(logged(false, line)).toBe('18:09:50 auth  error no\n');
});

test('nothing in a record drives the terminal', () => {
  const line = JSON.stringify({ level: 'info', time: '2026-11-23T18:09:50Z', msg: 'a\u001b[2Jb\nc', id: '\u0007' });
  expect(logged(false, line)).toBe('18:09:50 auth  info  a [2Jb c id="\\u0007"\n');
});
