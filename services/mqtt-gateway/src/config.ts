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
import { addIngressOptions, type IngressConfig, type IngressFlags, readIngress } from './embedded/ingress-config.ts';
import { addUpstreamOptions, readUpstream, type UpstreamFlags } from './front-door/config.ts';
import type { UpstreamConfig } from './front-door/upstream.ts';
import { readIdentity } from './identity.ts';
import type { TlsIdentity } from './listener.ts';

/** All that an operator can set. */
export type Config = {
  readonly mqtt: Address;
  /** Undefined, as each of the next two: there is no such listener. */
  readonly mqtts: Address | undefined;
  readonly ws: Address | undefined;
  readonly wss: Address | undefined;
  readonly ingress: IngressConfig | undefined;
  /** Reads the certificate of the TLS listeners from its files, or throws a SettingsError. Undefined: no TLS. */
  readonly identity: (() => TlsIdentity) | undefined;
  /** The replicas of the auth service. */
  readonly auth: readonly Address[];
  /** Undefined: the broker in this process. */
  readonly upstream: UpstreamConfig | undefined;
  readonly metrics: Address;
  readonly limits: Limits;
  readonly logLevel: LogLevel;
};

type Flags = UpstreamFlags &
  IngressFlags &
  LimitFlags & {
    mqtt: Address;
    mqtts: Address;
    ws?: Address;
    wss?: Address;
    tlsCert?: string;
    tlsKey?: string;
    auth: readonly Address[];
    metrics: Address;
    insecureListen: boolean;
    logLevel: LogLevel;
  };

/**
 * Reads the command line, and what of it the environment holds instead. Exits with help on --help and on unknown options;
 * throws a SettingsError. `upstreamPassword` is the environment's own.
 */
export function readConfig(argv: readonly string[], upstreamPassword?: string): Config {
  const command = serviceCommand('latchkey-mqtt-gateway', 'Lets devices in over MQTT.')
    .addOption(addressOption('--mqtt <address>', 'listener for plain MQTT', '127.0.0.1:1883').env('LATCHKEY_MQTT'))
    .addOption(
      addressOption(
        '--mqtts <address>',
        'listener for MQTT over TLS; needs --tls-cert and --tls-key',
        '127.0.0.1:8883',
      ).env('LATCHKEY_MQTTS'),
    )
    .addOption(addressOption('--ws <address>', 'listener for MQTT over WebSocket, path /mqtt').env('LATCHKEY_WS'))
    .addOption(
      addressOption('--wss <address>', 'the same over TLS; needs --tls-cert and --tls-key').env('LATCHKEY_WSS'),
    )
    .addOption(
      new Option('--tls-cert <file>', 'certificate chain of the TLS listeners, PEM; SIGHUP has it read again').env(
        'LATCHKEY_TLS_CERT',
      ),
    )
    .addOption(new Option('--tls-key <file>', 'private key of the TLS listeners, PEM').env('LATCHKEY_TLS_KEY'))
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
      'allow metrics and an ingress that other machines can reach, and an auth service on another one',
      false,
    );
  for (const option of limitOptions()) command.addOption(option);
  addIngressOptions(addUpstreamOptions(command)).parse(argv, { from: 'user' });
  const flags = command.opts<Flags>();
  const upstream = readUpstream(flags, upstreamPassword);
  const config = fromFlags(flags, command.getOptionValueSource('mqtts') !== 'default');
  if (upstream !== undefined && config.ingress !== undefined) {
    throw new SettingsError(
      '--ingress is for the broker in this process: with --upstream applications have another one',
    );
  }
  return { ...config, upstream };
}

function fromFlags(flags: Flags, mqttsGiven: boolean): Omit<Config, 'upstream'> {
  requireLoopback('--metrics', flags.metrics, flags.insecureListen);
  const outside = flags.auth.find(({ host }) => !isLoopback(host));
  if (!flags.insecureListen && outside !== undefined) {
    throw new SettingsError(
      `--auth ${formatAddress(outside)} is on another machine, and proofs would travel to it in clear: ` +
        'use a loopback address, or say --insecure-listen if the network itself is closed',
    );
  }
  const { mqtt, mqtts, ws, wss, auth, metrics, logLevel } = flags;
  const identity = tlsIdentity(flags, mqttsGiven);
  return {
    mqtt,
    mqtts: identity && mqtts,
    ws,
    wss,
    ingress: readIngress(flags, identity !== undefined),
    identity,
    ...{ auth, metrics, logLevel },
    limits: limitsOf(flags),
  };
}

function tlsIdentity({ wss, tlsCert, tlsKey }: Flags, mqttsGiven: boolean): Config['identity'] {
  if (tlsCert !== undefined && tlsKey !== undefined) {
    const files = { certificate: tlsCert, key: tlsKey };
    readIdentity(files);
    return () => readIdentity(files);
  }
  if (tlsCert !== undefined || tlsKey !== undefined || wss !== undefined || mqttsGiven) {
    throw new SettingsError('a TLS listener needs both --tls-cert and --tls-key');
  }
  return undefined;
}
