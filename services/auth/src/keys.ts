import { execFile } from 'node:child_process';
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import type { Random } from '@latchkey/kernel';
import { SettingsError } from '@latchkey/runtime';
import { generateKeyLine, type Keyring, KeyringError, parseKeyring } from '@latchkey/store';

/** Where the sealing keys come from: a file, the environment's own text, or what a command prints. */
export type KeySource =
  | { readonly from: 'FILE'; readonly path: string }
  | { readonly from: 'TEXT'; readonly text: string }
  | { readonly from: 'COMMAND'; readonly command: string };

/** How long a key command may take: it may ask a vault on the network. */
const COMMAND_TIMEOUT_MS = 10_000;

/** Sixteen keys fit many times over. */
const COMMAND_MAX_BYTES = 65_536;

/** The keys, and how to undo what loading them made. */
export type LoadedKeys = { readonly keyring: Keyring; readonly undo: () => void };

/** Reads the sealing keys; a key file that is not there is made. Throws a SettingsError that shows no key. */
export async function loadKeys(source: KeySource, random: Random): Promise<LoadedKeys> {
  try {
    const made = source.from === 'FILE' && makeKeyFile(source.path, random);
    const undo = () => {
      if (made) rmSync(source.path);
    };
    return { keyring: parseKeyring(await keyText(source)), undo };
  } catch (error) {
    if (error instanceof KeyringError) throw new SettingsError(`sealing keys: ${error.message}`);
    // A path that cannot be used; the message of the system names it.
    if (source.from === 'FILE' && error instanceof Error && 'syscall' in error)
      throw new SettingsError(`--key-file: ${error.message}`);
    throw error;
  }
}

/** Reads the keys again, for a rotation; makes nothing. */
export async function reloadKeys(source: KeySource): Promise<Keyring> {
  return parseKeyring(await keyText(source));
}

async function keyText(source: KeySource): Promise<string> {
  switch (source.from) {
    case 'FILE':
      return readFileSync(source.path, 'utf8');
    case 'TEXT':
      return source.text;
    case 'COMMAND':
      return commandOutput(source.command);
  }
}

async function commandOutput(command: string): Promise<string> {
  try {
    const options = { timeout: COMMAND_TIMEOUT_MS, maxBuffer: COMMAND_MAX_BYTES };
    const { stdout } = await promisify(execFile)('/bin/sh', ['-c', command], options);
    return stdout;
  } catch (error) {
    // The error of execFile carries what the command printed: a key, perhaps.
    const { code, killed } = error as { code?: unknown; killed?: boolean };
    const why = killed === true ? `it took longer than ${COMMAND_TIMEOUT_MS} ms` : `it ended with ${String(code)}`;
    throw new SettingsError(`--key-command gave no keys: ${why}`);
  }
}

function syncDirectory(path: string): void {
  const directory = openSync(path, 'r');
  fsyncSync(directory);
  closeSync(directory);
}

/** False: there is a file. */
function makeKeyFile(path: string, random: Random): boolean {
  try {
    // On the disk before anything is sealed: a power cut must not leave sealed records without their key.
    writeFileSync(path, `${generateKeyLine('k1', random)}\n`, { mode: 0o600, flag: 'wx', flush: true });
    syncDirectory(dirname(path));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
