import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { ServerCertificate } from '@latchkey/dtls';
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
  requireLoopback,
  SettingsError,
  serviceCommand,
} from '@latchkey/runtime';
import { Option } from 'commander';

/** All that an operator can set. */
export type Config = {
  readonly coaps: Address;
  /** Reads the certificate's files; throws a SettingsError when they do not fit. Undefined: devices with certificates are not served. */
  readonly certificate: (() => ServerCertificate) | undefined;
  readonly upstream: UpstreamSettings;
  /** The replicas of the auth service. */
  readonly auth: readonly Address[];
  readonly metrics: Address;
  readonly limits: Limits;
  readonly logLevel: LogLevel;
};

type Flags = UpstreamFlags &
  LimitFlags & {
    readonly coaps: Address;
    readonly tlsCert?: string;
    readonly tlsKey?: string;
    readonly auth: readonly Address[];
    readonly metrics: Address;
    readonly logLevel: LogLevel;
  };

/**
 * Reads the command line, and what of it the environment holds instead. Exits with help on --help and on unknown options;
 * throws a SettingsError.
 */
export function readConfig(argv: readonly string[]): Config {
  const command = serviceCommand('latchkey-coap-gateway', 'Takes what devices report over CoAP.')
    .addOption(
      addressOption('--coaps <address>', 'UDP listener for CoAP over DTLS', '127.0.0.1:5684').env('LATCHKEY_COAPS'),
    )
    .addOption(
      new Option(
        '--tls-cert <file>',
        'certificate chain, PEM, for devices with certificates; SIGHUP has it read again',
      ).env('LATCHKEY_TLS_CERT'),
    )
    .addOption(new Option('--tls-key <file>', 'its private key, PEM').env('LATCHKEY_TLS_KEY'))
    .addOption(
      addressesOption(
        '--auth <address,...>',
        'the auth service: all its replicas, with commas between them or given again',
        '127.0.0.1:7410',
      ).env('LATCHKEY_AUTH'),
    )
    .addOption(
      addressOption('--metrics <address>', 'HTTP listener for /metrics, /healthz and /readyz', '127.0.0.1:7484').env(
        'LATCHKEY_COAP_METRICS',
      ),
    )
    .option(
      '--insecure-listen',
      'allow metrics that other machines can reach, and an auth service and a plain upstream on other ones',
      false,
    );
  for (const option of [...limitOptions(), ...upstreamOptions()]) command.addOption(option);
  command.parse(argv, { from: 'user' });
  return fromFlags(command.opts<Flags>());
}

function fromFlags(flags: Flags): Config {
  const { coaps, auth, metrics, insecureListen, logLevel } = flags;
  requireLoopback('--metrics', metrics, insecureListen);
  const outside = auth.find(({ host }) => !isLoopback(host));
  if (!insecureListen && outside !== undefined) {
    throw new SettingsError(
      `--auth ${formatAddress(outside)} is on another machine, and session secrets would travel from it in clear: ` +
        'use a loopback address, or say --insecure-listen if the network itself is closed',
    );
  }
  const certificate = certificateOf(flags);
  return { coaps, certificate, upstream: readUpstream(flags), auth, metrics, limits: limitsOf(flags), logLevel };
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function certificateOf({ tlsCert, tlsKey }: Flags): Config['certificate'] {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined)
    throw new SettingsError('devices with certificates need both --tls-cert and --tls-key');
  return () => readCertificate(tlsCert, tlsKey);
}

function readCertificate(certificate: string, privateKey: string): ServerCertificate {
  const pem = readSetting('--tls-cert', certificate).toString('latin1');
  const keyPem = readSetting('--tls-key', privateKey);
  try {
    const chain = (pem.match(PEM_CERTIFICATE) ?? []).map((each) => new X509Certificate(each));
    const key = createPrivateKey(keyPem);
    if (chain[0]?.checkPrivateKey(key)) return { chain: chain.map(({ raw }) => raw), key };
  } catch {
    // What the parser says could quote the key.
  }
  throw new SettingsError('--tls-cert and --tls-key hold no certificate chain and the private key that fits it');
}
