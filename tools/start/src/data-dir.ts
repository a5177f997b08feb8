import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SettingsError } from '@latchkey/runtime';

/**
 * Makes the data directory with mode 0700 when it is missing; a directory that exists stays as it is. A new one is
 * hidden from git, as it will hold keys. Throws a SettingsError when it cannot be made.
 */
export async function makeDataDir(dir: string): Promise<void> {
  try {
    const made = await mkdir(dir, { recursive: true, mode: 0o700 });
    if (made !== undefined) await writeFile(join(dir, '.gitignore'), '*\n');
  } catch (error) {
    throw new SettingsError(`--data-dir ${dir} cannot be made: ${error instanceof Error ? error.message : error}`);
  }
}
