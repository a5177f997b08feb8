import { readFileSync, statSync } from 'node:fs';
import { Secret } from '@latchkey/kernel';
import { type Address, addressOption, formatAddress, isLoopback, SettingsError } from '@latchkey/runtime';
import { type Command, Option } from 'commander';

/** Bits of a file's mode that let others than its owner read or write it. */
const OTHERS = 0o077;

/** One line `USER:PASSWORD`. A short password could be guessed: nothing counts failed attempts here. */
const CREDENTIAL = /^([^:\r\n]{1,256}):([^\r\n]{16,1024})\r?\n?$/;

/** What applications and other gateways log in with. */
export type IngressCredential = { readonly username: string; readonly password: Secret };

/** The listener for applications and other gateways. */
export type IngressConfig = {
  readonly address: Address;
  /** With the certificate of the devices' TLS listeners. */
  readonly tls: boolean;
  readonly credential: IngressCredential;
};

/** What of the command line is about it. */
export type IngressFlags = {
  readonly ingress?: Address;
  readonly ingressCredential?: string;
  readonly ingressTls: boolean;
  readonly insecureListen: boolean;
};

/** Adds the options of the ingress. */
export function addIngressOptions(command: Command): Command {
  return command
    .addOption(
      addressOption(
        '--ingress <address>',
        "MQTT listener for applications and other gateways: all devices' topics; needs --ingress-credential",
      ).env('LATCHKEY_INGRESS'),
    )
    .addOption(
      new Option(
        '--ingress-credential <file>',
        'what they log in with: one line USER:PASSWORD, in a file of mode 0600',
      ).env('LATCHKEY_INGRESS_CREDENTIAL'),
    )
    .option('--ingress-tls', 'TLS at the ingress, with --tls-cert and --tls-key', false);
}

/** The ingress; undefined: none. Throws a SettingsError, which shows no password. */
export function readIngress(flags: IngressFlags, hasIdentity: boolean): IngressConfig | undefined {
  const { ingress: address, ingressCredential: file, ingressTls: tls } = flags;
  if (address === undefined) {
    if (file === undefined && !tls) return undefined;
    throw new SettingsError('--ingress-credential and --ingress-tls need --ingress');
  }
  if (file === undefined) throw new SettingsError('--ingress needs --ingress-credential');
  if (tls && !hasIdentity) throw new SettingsError('--ingress-tls needs --tls-cert and --tls-key');
  if (!tls && !isLoopback(address.host) && !flags.insecureListen) {
    throw new SettingsError(
      `--ingress ${formatAddress(address)} can be reached from other machines, and its password would travel in clear: ` +
        'add --ingress-tls, use a loopback address, or say --insecure-listen if the network itself is closed',
    );
  }
  return { address, tls, credential: readCredential(file) };
}

function readCredential(path: string): IngressCredential {
  const text = readText(path);
  const [, username, password] = CREDENTIAL.exec(text) ?? [];
  if (username === undefined || password === undefined) {
    throw new SettingsError(
      `--ingress-credential ${path} does not hold one line USER:PASSWORD, the password with 16 characters or more`,
    );
  }
  return { username, password: new Secret(password) };
}

function readText(path: string): string {
  try {
    if ((statSync(path).mode & OTHERS) !== 0) {
      throw new SettingsError(`--ingress-credential ${path} can be read by others: chmod 600 it`);
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof SettingsError) throw error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new SettingsError(`--ingress-credential ${path} cannot be read (${code})`, { cause: error });
  }
}
