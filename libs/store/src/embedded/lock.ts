import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StoreUnavailable } from '../store.ts';

/** Makes a file of mode 0600 unless it is there; never opens one that is, see `lockDirectory`. */
export function createPrivateFile(path: string): void {
  try {
    writeFileSync(path, '', { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}

/**
 * Makes the directory (mode 0700) if needed and locks it for this process; the returned function unlocks. The lock is
 * the operating system's, on a SQLite file of its own, and dies with the process. POSIX drops a process's locks on a
 * file when it closes any descriptor of it, so nothing else here may open that file. Throws a StoreUnavailable when
 * the directory is in use.
 */
export function lockDirectory(directory: string): () => void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, 'lock');
  createPrivateFile(path);
  const lock = new DatabaseSync(path, { timeout: 0 });
  try {
    lock.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    lock.close();
    throw new StoreUnavailable(
      `the data directory ${directory} is in use by another process, or its file "lock" cannot be locked: ` +
        'stop that process, or give this one a directory of its own',
      { cause },
    );
  }
  return () => lock.close();
}
