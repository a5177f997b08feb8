import {
  type GatewayFlags,
  type GatewaySettings,
  gatewayOptions,
  gatewaySettings,
  readIdentity,
  type TlsIdentity,
} from '@latchkey/gateway-kit';
import {
  readUpstream,
  type UpstreamFlags,
  type UpstreamSettings,
  upstreamOptions,
} from '@latchkey/gateway-kit/upstream';
import {
  type Address,
  addressOption,
  formatAddress,
  isLoopback,
  parseAddress,
  SettingsError,
  serviceCommand,
} from '@latchkey/runtime';
import { InvalidArgumentError, Option } from 'commander';

/** All that an operator can set. */
export type Config = GatewaySettings & {
  /** Undefined: no TLS listener. */
  readonly https: { readonly address: Address; readonly identity: () => TlsIdentity } | undefined;
  /** Undefined: no plain listener. */
  readonly http: Address | undefined;
  readonly upstream: UpstreamSettings;
};

type Flags = UpstreamFlags &
  GatewayFlags & {
    readonly https: Address;
    readonly tlsCert?: string;
    readonly tlsKey?: string;
    readonly http?: Address;
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
    .option(
      '--insecure-listen',
      'allow plain HTTP and metrics that other machines can reach, and an auth service and a plain upstream on other ones',
      false,
    );
  const metrics = { fallback: '127.0.0.1:7485', env: 'LATCHKEY_HTTPS_METRICS' };
  for (const option of [...gatewayOptions(metrics), ...upstreamOptions()]) command.addOption(option);
  command.parse(argv, { from: 'user' });
  return fromFlags(command.opts<Flags>());
}

function fromFlags(flags: Flags): Config {
  const { http, insecureListen } = flags;
  const settings = gatewaySettings(flags, 'proofs');
  if (http !== undefined && !insecureListen && !isLoopback(http.host)) {
    throw new SettingsError(
      `--http ${formatAddress(http)} is not on this machine alone, and tokens would travel in clear: ` +
        'use a loopback address, or say --insecure-listen if the network itself is closed',
    );
  }
  const https = tlsListener(flags);
  if (https === undefined && http === undefined)
    throw new SettingsError('there is nothing to listen on: give --tls-cert and --tls-key, or --http');
  return { ...settings, https, http, upstream: readUpstream(flags) };
}

function tlsListener({ https, tlsCert, tlsKey }: Flags): Config['https'] {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined)
    throw new SettingsError('the TLS listener needs both --tls-cert and --tls-key');
  return { address: https, identity: () => readIdentity(tlsCert, tlsKey) };
}

function readAddress(text: string): Address {
  try {
    return parseAddress(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? `It is ${error.message}.` : '');
  }
}
