import { createSecureContext } from 'node:tls';
import { type LimitFlags, type Limits, limitOptions, limitsOf } from '@latchkey/gateway-kit';
import {
  readSetting,
  readUpstream,
  type UpstreamFlags,
  type UpstreamSettings,
  upstreamOptions,
} from '@latchkey/gateway-kit/upstream';
import {
  type Address,
  addressesOption,
  addressOption,
  formatAddress,
  isLoopback,
  type LogLevel,
  parseAddress,
  requireLoopback,
  SettingsError,
  serviceCommand,
} from '@latchkey/runtime';
import { InvalidArgumentError, Option } from 'commander';
import type { TlsIdentity } from './listener.ts';

/** All that an operator can set. */
export type Config = {
  /** Undefined: no TLS listener. */
  readonly https: { readonly address: Address; readonly identity: () => TlsIdentity } | undefined;
  /** Undefined: no plain listener. */
  readonly http: Address | undefined;
  readonly upstream: UpstreamSettings;
  /** The replicas of the auth service. */
  readonly auth: readonly Address[];
  readonly metrics: Address;
  readonly limits: Limits;
  readonly logLevel: LogLevel;
};

type Flags = UpstreamFlags &
  LimitFlags & {
    readonly https: Address;
    readonly tlsCert?: string;
    readonly tlsKey?: string;
    readonly http?: Address;
    readonly auth: readonly Address[];
    readonly metrics: Address;
    readonly logLevel: LogLevel;
  };

/**
 * Reads the command line, and what of it the environment holds instead. Exits with help on --help and on unknown options;
 * throws a SettingsError.
 */
export function readConfig(argv: readonly string[]): Config {
  const command = serviceCommand('latchkey-https-gateway', 'Takes what devices report over HTTPS.')
    .addOption(
      addressOption('--https <address>', 'listener for HTTPS; needs --tls-cert and --tls-key', '127.0.0.1:8943').env(
        'LATCHKEY_HTTPS',
      ),
    )
    .addOption(
      new Option('--tls-cert <file>', 'certificate chain of the TLS listener, PEM; SIGHUP has it read again').env(
        'LATCHKEY_TLS_CERT',
      ),
    )
    .addOption(new Option('--tls-key <file>', 'private key of the TLS listener, PEM').env('LATCHKEY_TLS_KEY'))
    .addOption(
      new Option('--http <address>', 'listener for plain HTTP/1, on a loopback address, for development')
        .argParser(readAddress)
        .env('LATCHKEY_HTTP'),
    )
    .addOption(
      addressesOption(
        '--auth <address,...>',
        'the auth service: all its replicas, with commas between them or given again',
        '127.0.0.1:7410',
      ).env('LATCHKEY_AUTH'),
    )
    .addOption(
      addressOption('--metrics <address>', 'HTTP listener for /metrics, /healthz and /readyz', '127.0.0.1:7485').env(
        'LATCHKEY_HTTPS_METRICS',
      ),
    )
    .option(
      '--insecure-listen',
      'allow plain HTTP and metrics that other machines can reach, and an auth service and a plain upstream on other ones',
      false,
    );
  for (const option of [...limitOptions(), ...upstreamOptions()]) command.addOption(option);
  command.parse(argv, { from: 'user' });
  return fromFlags(command.opts<Flags>());
}

function fromFlags(flags: Flags): Config {
  const { http, auth, metrics, insecureListen, logLevel } = flags;
  requireLoopback('--metrics', metrics, insecureListen);
  for (const replica of auth) refuseClearText('--auth', 'proofs', replica, insecureListen);
  if (http !== undefined) refuseClearText('--http', 'tokens', http, insecureListen);
  const https = tlsListener(flags);
  if (https === undefined && http === undefined)
    throw new SettingsError('there is nothing to listen on: give --tls-cert and --tls-key, or --http');
  return { https, http, upstream: readUpstream(flags), auth, metrics, limits: limitsOf(flags), logLevel };
}

function refuseClearText(flag: string, what: string, address: Address, insecureListen: boolean): void {
  if (insecureListen || isLoopback(address.host)) return;
  throw new SettingsError(
    `${flag} ${formatAddress(address)} is not on this machine alone, and ${what} would travel in clear: ` +
      'use a loopback address, or say --insecure-listen if the network itself is closed',
  );
}

function tlsListener({ https, tlsCert, tlsKey }: Flags): Config['https'] {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined)
    throw new SettingsError('the TLS listener needs both --tls-cert and --tls-key');
  return { address: https, identity: () => readIdentity(tlsCert, tlsKey) };
}

/** Throws a SettingsError when the files are not there or do not fit. */
function readIdentity(certificate: string, key: string): TlsIdentity {
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

function readAddress(text: string): Address {
  try {
    return parseAddress(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? `It is ${error.message}.` : '');
  }
}
