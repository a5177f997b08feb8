import { parentPort, workerData } from 'node:worker_threads';
import { makeApply } from './apply.ts';
import type { Reply, Request } from './commands.ts';
import { openWriter } from './database.ts';

// The thread that owns the writing connection: fsync waits here, not on the thread that decides.

// After SQLITE_FULL nothing was written and the next transaction may fit; after any other error it is not known what
// the disk holds (a failed fsync may not be tried again), so the store ends.
const SQLITE_FULL = 13;

function isFatal(error: unknown): boolean {
  return !(error instanceof Error && 'errcode' in error && error.errcode === SQLITE_FULL);
}

function answer(reply: Reply): void {
  parentPort?.postMessage(reply);
}

const database = openWriter(String(workerData));
const apply = makeApply(database);

parentPort?.on('message', (request: Request) => {
  if (request === 'CLOSE') {
    database.close();
    parentPort?.close();
    return;
  }
  try {
    answer({ kind: 'COMMITTED', outcomes: apply(request) });
  } catch (error) {
    answer({ kind: 'FAILED', message: error instanceof Error ? error.message : 'unknown', fatal: isFatal(error) });
  }
});

answer({ kind: 'READY' });
