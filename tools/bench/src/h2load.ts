import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CONNECTIONS, IN_FLIGHT, PATH } from './load.ts';
import type { Processes } from './processes.ts';
import { whatIsMissing } from './programs.ts';

const run = promisify(execFile);

/** The flag and the length of the message that stand before it (gRPC over HTTP2, "Length-Prefixed-Message"). */
const PREFIX_BYTES = 5;

/** How much longer than asked it may take. */
const SLACK_MS = 30_000;

/** What is missing for h2load, if anything. */
export function withoutH2load(): string | undefined {
  return whatIsMissing({ h2load: 'nghttp2-client' });
}

/**
 * Calls with h2load, one message again and again over as many connections as `Caller` has. It looks at the HTTP status
 * and not at the one of gRPC, which is 200 whatever comes: that the answer is right is for a `Caller` to see before.
 */
export class H2load {
  readonly #args: readonly string[];

  constructor(processes: Processes, address: string, message: Buffer) {
    const file = join(processes.directory(), 'message');
    const frame = Buffer.alloc(PREFIX_BYTES);
    frame.writeUInt32BE(message.length, 1);
    writeFileSync(file, Buffer.concat([frame, message]));
    const headers = ['content-type: application/grpc', 'te: trailers'].flatMap((header) => ['-H', header]);
    const lanes = ['-t', '1', '-c', `${CONNECTIONS}`, '-m', `${IN_FLIGHT / CONNECTIONS}`];
    this.#args = [...lanes, ...headers, '-d', file, `http://${address}${PATH}`];
  }

  /** Calls for so many milliseconds; answers how many calls were answered. Rejects when one was not. */
  async callFor(ms: number): Promise<number> {
    const duration = Math.ceil(ms);
    const { stdout } = await run('h2load', ['-D', `${duration}ms`, ...this.#args], { timeout: duration + SLACK_MS });
    return answered(stdout);
  }
}

/** How many calls were answered, by what h2load prints. Throws when one was not. */
export function answered(output: string): number {
  const count = (what: string) => Number(new RegExp(`requests: .*?(\\d+) ${what}`).exec(output)?.[1] ?? Number.NaN);
  const [done, succeeded, failed] = ['done', 'succeeded', 'failed'].map(count);
  if (done === undefined || !(done > 0) || done !== succeeded || failed !== 0) {
    throw new Error(`h2load did not get an answer to each call:\n${output}`);
  }
  return done;
}
