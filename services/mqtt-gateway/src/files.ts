import { readFileSync } from 'node:fs';
import { SettingsError } from '@latchkey/runtime';

/** Reads the file that a flag names. Throws a SettingsError that names both. */
export function readFileOf(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new SettingsError(`${flag} ${path} cannot be read (${code})`, { cause: error });
  }
}
