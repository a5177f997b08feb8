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

/** What the files of `--tls-cert` and `--tls-key` hold, or of those with another beginning. Throws a SettingsError. */
export function readIdentity(certificate: string, key: string, flags: '--tls' | '--upstream' = '--tls'): TlsIdentity {
  const identity = { cert: readSetting(`${flags}-cert`, certificate), key: readSetting(`${flags}-key`, key) };
  try {
    createSecureContext(identity);
  } catch (error) {
    throw new SettingsError(
      `${flags}-cert and ${flags}-key hold no certificate chain and the private key that fits it`,
      { cause: error },
    );
  }
  return identity;
}
