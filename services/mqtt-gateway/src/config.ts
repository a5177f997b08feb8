import { readFileSync } from 'node:fs';
import { type LimitFlags, type Limits, limitOptions, limitsOf } from '@latchkey/gateway-kit';
import {
  type Address,
  addressesOption,
  addressOption,
  formatAddress,
  isLoopback,
  type LogLevel,
  requireLoopback,
  SettingsError,
  serviceCommand,
} from '@latchkey/runtime';
import { Option } from 'commander';
import type { TlsIdentity } from './listener.ts';

/** All that an operator can set. */
export type Config = {
  readonly mqtt: Address;
  /** Undefined: no TLS listener. */
  readonly mqtts: { readonly address: Address; readonly identity: TlsIdentity } | undefined;
  /** The replicas of the auth service. */
  readonly auth: readonly Address[];
  readonly metrics: Address;
  readonly limits: Limits;
  readonly logLevel: LogLevel;
};

type Flags = LimitFlags & {
  mqtt: Address;
  mqtts: Address;
  tlsCert?: string;
  tlsKey?: string;
  auth: readonly Address[];
  metrics: Address;
  insecureListen: boolean;
  logLevel: LogLevel;
};

/**
 * Reads the command line, and what of it the environment holds instead. Exits with help on --help and on unknown options;
 * throws a SettingsError.
 */
export function readConfig(argv: readonly string[]): Config {
  const command = serviceCommand('latchkey-mqtt-gateway', 'Lets devices in over MQTT.')
    .addOption(addressOption('--mqtt <address>', 'listener for plain MQTT', '127.0.0.1:1883').env('LATCHKEY_MQTT'))
    .addOption(
      addressOption(
        '--mqtts <address>',
        'listener for MQTT over TLS; needs --tls-cert and --tls-key',
        '127.0.0.1:8883',
      ).env('LATCHKEY_MQTTS'),
    )
    .addOption(new Option('--tls-cert <file>', 'certificate chain of the TLS listener, PEM').env('LATCHKEY_TLS_CERT'))
    .addOption(new Option('--tls-key <file>', 'private key of the TLS listener, PEM').env('LATCHKEY_TLS_KEY'))
    .addOption(
      addressesOption(
        '--auth <address,...>',
        'the auth service: all its replicas, with commas between them or given again',
        '127.0.0.1:7410',
      ).env('LATCHKEY_AUTH'),
    )
    .addOption(
      addressOption('--metrics <address>', 'HTTP listener for /metrics, /healthz and /readyz', '127.0.0.1:7483').env(
        'LATCHKEY_MQTT_METRICS',
      ),
    )
    .option(
      '--insecure-listen',
      'allow metrics that other machines can reach, and an auth service on another one',
      false,
    );
  for (const option of limitOptions()) command.addOption(option);
  command.parse(argv, { from: 'user' });
  return fromFlags(command.opts<Flags>(), command.getOptionValueSource('mqtts') !== 'default');
}

function fromFlags(flags: Flags, mqttsGiven: boolean): Config {
  requireLoopback('--metrics', flags.metrics, flags.insecureListen);
  const outside = flags.auth.find(({ host }) => !isLoopback(host));
  if (!flags.insecureListen && outside !== undefined) {
    throw new SettingsError(
      `--auth ${formatAddress(outside)} is on another machine, and proofs would travel to it in clear: ` +
        'use a loopback address, or say --insecure-listen if the network itself is closed',
    );
  }
  const { mqtt, auth, metrics, logLevel } = flags;
  return { mqtt, mqtts: tlsListener(flags, mqttsGiven), auth, metrics, limits: limitsOf(flags), logLevel };
}

function tlsListener({ mqtts, tlsCert, tlsKey }: Flags, mqttsGiven: boolean): Config['mqtts'] {
  if (tlsCert !== undefined && tlsKey !== undefined) {
    return { address: mqtts, identity: { cert: read('--tls-cert', tlsCert), key: read('--tls-key', tlsKey) } };
  }
  if (tlsCert !== undefined || tlsKey !== undefined || mqttsGiven) {
    throw new SettingsError('the TLS listener needs both --tls-cert and --tls-key');
  }
  return undefined;
}

function read(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new SettingsError(`${flag} ${path} cannot be read (${code})`, { cause: error });
  }
}
