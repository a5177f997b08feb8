import { join, resolve } from 'node:path';
import { type Address, addressOption, formatAddress, serviceCommand } from '@latchkey/runtime';
import { Option } from 'commander';

/** The project's folder. */
export const PROJECT_DIR = resolve(import.meta.dirname, '../../..');

/** The data directory when none is named; the command line tool has the same. */
export const DEFAULT_DATA_DIR = join(PROJECT_DIR, '.latchkey');

/** What the launcher is asked to do. */
export type Settings = {
  /** Absolute path. */
  readonly dataDir: string;
  /** Arguments for every service. */
  readonly commonArgs: readonly string[];
  /** Arguments for the auth service. */
  readonly authArgs: readonly string[];
  /** Arguments for the MQTT gateway, without those that only a running auth service can tell. */
  readonly mqttArgs: readonly string[];
  /** Arguments for the HTTPS gateway, without those that only running services can tell. */
  readonly httpsArgs: readonly string[];
  /** The same for the CoAP gateway. */
  readonly coapArgs: readonly string[];
  /** The broker that takes the links of devices; undefined: the one in the MQTT gateway. */
  readonly upstream: Upstream | undefined;
  /** One JSON line instead of the welcome, logs as they are. */
  readonly json: boolean;
};

/** A broker that the operator runs. */
export type Upstream = {
  /** Its URL, which holds no password. */
  readonly url: string;
  /** How the gateways for HTTPS and CoAP reach it, as arguments; undefined: they are not started. */
  readonly reportArgs: readonly string[] | undefined;
};

type Options = UpstreamOptions & {
  readonly dataDir: string;
  readonly store?: string;
  readonly workers?: string;
  readonly grpc: Address;
  readonly admin: Address;
  readonly mqtt: Address;
  readonly mqtts: Address;
  readonly ingress: Address;
  readonly https: Address;
  readonly coaps: Address;
  readonly insecureListen?: true;
  readonly json?: true;
  readonly logLevel: string;
};

type UpstreamOptions = {
  readonly upstream?: string;
  readonly upstreamUsername?: string;
  readonly upstreamPasswordFile?: string;
  readonly upstreamCa?: string;
  readonly upstreamCert?: string;
  readonly upstreamKey?: string;
  readonly upstreamCredential?: string;
  readonly insecureUpstream?: true;
};

/** As the MQTT gateway has them; the last but one is for the gateways for HTTPS and CoAP. */
const UPSTREAM_OPTIONS = [
  [
    '--upstream <url>',
    'a broker that takes the links of devices, in place of the one in the MQTT gateway: mqtt(s)://HOST:PORT',
  ],
  ['--upstream-username <name>', 'user name of the links of devices there; else the device id'],
  ['--upstream-password-file <file>', 'their password there; or LATCHKEY_UPSTREAM_PASSWORD holds it'],
  ['--upstream-ca <file>', 'CAs that vouch for that broker, PEM'],
  ['--upstream-cert <file>', "the gateways' certificate for that broker, PEM"],
  ['--upstream-key <file>', 'its private key, PEM'],
  [
    '--upstream-credential <file>',
    'one line USER:PASSWORD for reports over HTTPS and CoAP, which are not served without it',
  ],
] as const;

/** Reads the command line. Ends the process after --help (code 0) and on a wrong option (code 2). */
export function readSettings(argv: readonly string[]): Settings {
  const command = serviceCommand('start', 'Runs the auth service and the gateways until Ctrl-C.')
    .addOption(
      new Option('--data-dir <dir>', 'where records, keys and certificates lie; made when missing')
        .default(DEFAULT_DATA_DIR)
        .env('LATCHKEY_DATA_DIR'),
    )
    // From the environment the service takes it itself: a password in the URL then stays out of the process list.
    .option(
      '--store <url>',
      'a Redis instead of the built-in store: redis://, redis-sentinel:// or redis-cluster:// (env: LATCHKEY_STORE)',
    )
    .option('--workers <n>', 'processes of the auth service, one a core; more than one needs a Redis (default: 1)')
    .addOption(addressOption('--grpc <address>', 'listener for gateways; port 0 takes a free one', '127.0.0.1:7410'))
    .addOption(addressOption('--admin <address>', 'listener for operators', '127.0.0.1:7480'))
    .addOption(addressOption('--mqtt <address>', 'listener for MQTT', '127.0.0.1:1883'))
    .addOption(addressOption('--mqtts <address>', 'listener for MQTT over TLS', '127.0.0.1:8883'))
    .addOption(
      addressOption('--ingress <address>', 'listener for MQTT of applications and other gateways', '127.0.0.1:1884'),
    )
    .addOption(addressOption('--https <address>', 'listener for HTTPS', '127.0.0.1:8943'))
    .addOption(addressOption('--coaps <address>', 'UDP listener for CoAP over DTLS', '127.0.0.1:5684'))
    .option('--insecure-upstream', 'allow plain MQTT to a broker on another machine')
    .option('--insecure-listen', 'let listeners without authenticated callers be reached from other machines')
    .option('--json', 'print one JSON line when everything listens, and logs as JSON lines')
    .addHelpText('after', '\nExit codes: 0 stopped as asked, 1 a service failed, 2 wrong settings.')
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
    .allowExcessArguments(false);
  // Named by the environment they would reach the services anyway, but not this program's own decisions.
  for (const [flags, description] of UPSTREAM_OPTIONS) {
    const option = new Option(flags, description);
    command.addOption(option.env(`LATCHKEY_${option.name().toUpperCase().replaceAll('-', '_')}`));
  }
  const options = command.parse([...argv]).opts<Options>();
  const ingressGiven = command.getOptionValueSource('ingress') !== 'default';
  if (options.upstream !== undefined && ingressGiven)
    command.error(
      'error: --ingress is for the broker in the MQTT gateway: with --upstream applications have another one',
    );
  return toSettings(options);
}

function toSettings(options: Options): Settings {
  return {
    dataDir: resolve(options.dataDir),
    commonArgs: ['--log-level', options.logLevel, ...(options.insecureListen ? ['--insecure-listen'] : [])],
    authArgs: [
      ...['--grpc', formatAddress(options.grpc), '--admin', formatAddress(options.admin)],
      ...(options.store === undefined ? [] : ['--store', options.store]),
      ...(options.workers === undefined ? [] : ['--workers', options.workers]),
    ],
    mqttArgs: [
      ...['--mqtt', formatAddress(options.mqtt), '--mqtts', formatAddress(options.mqtts)],
      ...(options.upstream === undefined ? ['--ingress', formatAddress(options.ingress)] : []),
      ...given('--upstream', options.upstream),
      ...given('--upstream-username', options.upstreamUsername),
      ...given('--upstream-password-file', options.upstreamPasswordFile),
      ...given('--upstream-ca', options.upstreamCa),
      ...given('--upstream-cert', options.upstreamCert),
      ...given('--upstream-key', options.upstreamKey),
      ...(options.insecureUpstream ? ['--insecure-upstream'] : []),
    ],
    httpsArgs: ['--https', formatAddress(options.https)],
    coapArgs: ['--coaps', formatAddress(options.coaps)],
    upstream: upstreamOf(options),
    json: options.json === true,
  };
}

function upstreamOf(options: Options): Upstream | undefined {
  const { upstream: url, upstreamCredential, upstreamCa, upstreamCert, upstreamKey, insecureUpstream } = options;
  if (url === undefined) return undefined;
  const credential = given('--upstream-credential', upstreamCredential);
  const identity = [...given('--upstream-cert', upstreamCert), ...given('--upstream-key', upstreamKey)];
  const tls = [...given('--upstream-ca', upstreamCa), ...identity];
  const reportArgs = ['--upstream', url, ...credential, ...tls, ...(insecureUpstream ? ['--insecure-upstream'] : [])];
  return { url, reportArgs: upstreamCredential === undefined ? undefined : reportArgs };
}

function given(flag: string, value: string | undefined): readonly string[] {
  return value === undefined ? [] : [flag, value];
}
