import { createSecureContext } from 'node:tls';
import { SettingsError } from '@latchkey/runtime';
import { readFileOf } from './files.ts';
import type { TlsIdentity } from './listener.ts';

/** Where the TLS listeners' certificate lies; SIGHUP has both files read again. */
export type IdentityFiles = { readonly certificate: string; readonly key: string };

/** Reads a certificate chain and its private key. Throws a SettingsError when they are not there or do not fit. */
export function readIdentity({ certificate, key }: IdentityFiles): TlsIdentity {
  const identity = { cert: readFileOf('--tls-cert', certificate), key: readFileOf('--tls-key', key) };
  try {
    createSecureContext(identity);
  } catch (error) {
    throw new SettingsError('--tls-cert and --tls-key hold no certificate chain and the private key that fits it', {
      cause: error,
    });
  }
  return identity;
}
