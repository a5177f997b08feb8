import { randomUUID } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { runCli } from './program.ts';

process.exitCode = await runCli(process.argv.slice(2), {
  print: (line) => process.stdout.write(line),
  complain: (line) => process.stderr.write(line),
  readInput: () => text(process.stdin),
  now: () => Date.now(),
  uuid: randomUUID,
  token: process.env['LATCHKEY_TOKEN'],
});
