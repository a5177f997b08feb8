import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { SettingsError } from '@latchkey/runtime';

/** A private key and its certificate chain, PEM. */
export type TlsIdentity = { readonly cert: Buffer; readonly key: Buffer };

/** What the file of an option holds. Throws a SettingsError that names both. */
export function readSetting(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new SettingsError(`${flag} ${path} cannot be read (${code})`, { cause: error });
  }
}

/** What the files of `--tls-cert` and `--tls-key` hold. Throws a SettingsError when they are not there or do not fit. */
export function readIdentity(certificate: string, key: string): TlsIdentity {
  const identity = { cert: readSetting('--tls-cert', certificate), key: readSetting('--tls-key', key) };
  try {
    createSecureContext(identity);
  } catch (error) {
    throw new SettingsError('--tls-cert and --tls-key hold no certificate chain and the private key that fits it', {
      cause: error,
    });
  }
  return identity;
}
