import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { ServerCertificate } from '@latchkey/dtls';
import {
  type GatewayFlags,
  type GatewaySettings,
  gatewayOptions,
  gatewaySettings,
  readSetting,
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
  SettingsError,
  serviceCommand,
} from '@latchkey/runtime';
import { Option } from 'commander';

/** All that an operator can set. */
export type Config = GatewaySettings & {
  readonly coaps: Address;
  /** Undefined: no plain listener. */
  readonly coap: Address | undefined;
  /** Reads the certificate's files; throws a SettingsError when they do not fit. Undefined: devices with certificates are not served. */
  readonly certificate: (() => ServerCertificate) | undefined;
  readonly upstream: UpstreamSettings;
};

type Flags = UpstreamFlags &
  GatewayFlags & {
    readonly coaps: Address;
    readonly coap?: Address;
    readonly tlsCert?: string;
    readonly tlsKey?: string;
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
      addressOption('--coap <address>', 'UDP listener for plain CoAP, on a loopback address, for development').env(
        'LATCHKEY_COAP',
      ),
    )
    .option(
      '--insecure-listen',
      'allow plain CoAP and metrics that other machines can reach, and an auth service and a plain upstream on other ones',
      false,
    );
  const metrics = { fallback: '127.0.0.1:7484', env: 'LATCHKEY_COAP_METRICS' };
  for (const option of [...gatewayOptions(metrics), ...upstreamOptions()]) command.addOption(option);
  command.parse(argv, { from: 'user' });
  return fromFlags(command.opts<Flags>());
}

function fromFlags(flags: Flags): Config {
  const settings = gatewaySettings(flags, 'session secrets');
  const { coaps, coap, insecureListen } = flags;
  if (coap !== undefined && !insecureListen && !isLoopback(coap.host)) {
    throw new SettingsError(
      `--coap ${formatAddress(coap)} is not on this machine alone, and tokens would travel in clear: ` +
        'use a loopback address, or say --insecure-listen if the network itself is closed',
    );
  }
  const certificate = certificateOf(flags);
  return { ...settings, coaps, coap, certificate, upstream: readUpstream(flags) };
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
