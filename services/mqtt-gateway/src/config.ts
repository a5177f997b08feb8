import {
  type GatewayFlags,
  type GatewaySettings,
  gatewayOptions,
  gatewaySettings,
  readIdentity,
  type TlsIdentity,
} from '@latchkey/gateway-kit';
import { type Address, addressOption, SettingsError, serviceCommand } from '@latchkey/runtime';
import { Option } from 'commander';
import { addIngressOptions, type IngressConfig, type IngressFlags, readIngress } from './embedded/ingress-config.ts';
import { addUpstreamOptions, readUpstream, type UpstreamFlags } from './front-door/config.ts';
import type { UpstreamConfig } from './front-door/upstream.ts';

/** All that an operator can set. */
export type Config = GatewaySettings & {
  readonly mqtt: Address;
  /** Undefined, as each of the next two: there is no such listener. */
  readonly mqtts: Address | undefined;
  readonly ws: Address | undefined;
  readonly wss: Address | undefined;
  readonly ingress: IngressConfig | undefined;
  /** Reads the certificate of the TLS listeners from its files, or throws a SettingsError. Undefined: no TLS. */
  readonly identity: (() => TlsIdentity) | undefined;
  /** Undefined: the broker in this process. */
  readonly upstream: UpstreamConfig | undefined;
};

type Flags = UpstreamFlags &
  IngressFlags &
  GatewayFlags & {
    mqtt: Address;
    mqtts: Address;
    ws?: Address;
    wss?: Address;
    tlsCert?: string;
    tlsKey?: string;
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
    .option(
      '--insecure-listen',
      'allow metrics and an ingress that other machines can reach, and an auth service on another one',
      false,
    );
  const metrics = { fallback: '127.0.0.1:7483', env: 'LATCHKEY_MQTT_METRICS' };
  for (const option of gatewayOptions(metrics)) command.addOption(option);
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
  const settings = gatewaySettings(flags, 'proofs');
  const { mqtt, mqtts, ws, wss } = flags;
  const identity = tlsIdentity(flags, mqttsGiven);
  return {
    ...settings,
    mqtt,
    mqtts: identity && mqtts,
    ws,
    wss,
    ingress: readIngress(flags, identity !== undefined),
    identity,
  };
}

function tlsIdentity({ wss, tlsCert, tlsKey }: Flags, mqttsGiven: boolean): Config['identity'] {
  if (tlsCert !== undefined && tlsKey !== undefined) {
    readIdentity(tlsCert, tlsKey);
    return () => readIdentity(tlsCert, tlsKey);
  }
  if (tlsCert !== undefined || tlsKey !== undefined || wss !== undefined || mqttsGiven) {
    throw new SettingsError('a TLS listener needs both --tls-cert and --tls-key');
  }
  return undefined;
}
