import { join, resolve } from 'node:path';
import type { Allowance } from '@latchkey/kernel';
import {
  type Address,
  addressOption,
  type LogLevel,
  numberOption,
  requireLoopback,
  SettingsError,
  serviceCommand,
} from '@latchkey/runtime';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { KeySource } from './keys.ts';

/** All that an operator can set. */
export type Config = {
  readonly dataDir: string;
  /** The URL of Redis; undefined: the embedded store in the data directory. */
  readonly redisUrl: string | undefined;
  /** Redis replicas that must have a write before it is acknowledged; undefined: as the URL's scheme has it. */
  readonly redisReplicas: number | undefined;
  /** Refuse to start when settings of Redis put acknowledged writes at risk. */
  readonly strict: boolean;
  /** Processes that decide; each is a replica of its own. */
  readonly workers: number;
  readonly grpc: Address;
  readonly admin: Address;
  readonly keys: KeySource;
  readonly newOperatorToken: boolean;
  readonly requireTrustedCa: boolean;
  readonly coapAcceptsSecondary: boolean;
  /** Products whose devices may name themselves by node id in a DTLS handshake. */
  readonly coapProducts: readonly string[];
  readonly timestampWindow: { readonly beforeMs: number; readonly afterMs: number };
  readonly maxCachedDevices: number;
  /** How long a credential must not have been used before it is called safe to retire. */
  readonly quietMs: number;
  /** How often a device may fail from one source; undefined: as often as it likes. */
  readonly failures: Allowance | undefined;
  readonly reportDecisionTimes: boolean;
  readonly logLevel: LogLevel;
};

type Flags = {
  dataDir: string;
  store: string;
  redisReplicas?: number;
  strict: boolean;
  workers: number;
  grpc: Address;
  admin: Address;
  keyFile?: string;
  keyCommand?: string;
  newOperatorToken: boolean;
  requireTrustedCa: boolean;
  coapAcceptSecondary: boolean;
  coapProducts: readonly string[];
  timestampEarlyMinutes: number;
  timestampLateMinutes: number;
  cacheDevices: number;
  quietHours: number;
  failedAttempts: number;
  failedAttemptSeconds: number;
  reportDecisionTimes: boolean;
  insecureListen: boolean;
  logLevel: LogLevel;
};

/** More than the cores of a machine are of no use. */
const MAX_WORKERS = 64;

/** Each write waits for so many: more than a handful would only make it slow. */
const MAX_REDIS_REPLICAS = 10;

const HOUR_MINUTES = 60;
const MINUTE_MS = 60_000;
/** Each is one more record to look at for an identity that names nobody. */
const MAX_COAP_PRODUCTS = 16;

/**
 * Reads the command line, and what of it the environment holds instead. `sealingKeys` is the text of
 * LATCHKEY_SEALING_KEYS: it has no flag, because others can read a command line. Exits with help on --help and on
 * unknown options; throws a SettingsError.
 */
export function readConfig(argv: readonly string[], sealingKeys: string | undefined): Config {
  const command = serviceCommand('latchkey-auth', 'Decides whether devices may connect.')
    .addOption(
      new Option('--data-dir <dir>', 'where keys, token and the embedded store lie')
        .default('.latchkey')
        .env('LATCHKEY_DATA_DIR'),
    )
    .addOption(
      new Option(
        '--store <url>',
        '"embedded", redis://HOST:PORT[/DB], redis-sentinel://HOST:PORT,.../MASTER[/DB] or redis-cluster://HOST:PORT,...; rediss... for TLS',
      )
        .default('embedded')
        .env('LATCHKEY_STORE'),
    )
    .addOption(
      numberOption(
        '--redis-replicas <n>',
        'Redis replicas that must have a write before it is acknowledged (default: with sentinels or a Cluster all that could take over, at least 1, else 0)',
        { fallback: 0, min: 0, max: MAX_REDIS_REPLICAS },
      ).default(undefined),
    )
    .option('--strict', 'refuse to start when settings of Redis put acknowledged writes at risk', false)
    .addOption(
      numberOption('--workers <n>', 'processes that share the listeners, one a core; more than one needs a Redis', {
        fallback: 1,
        min: 1,
        max: MAX_WORKERS,
      }).env('LATCHKEY_WORKERS'),
    )
    .addOption(addressOption('--grpc <address>', 'listener for gateways', '127.0.0.1:7410').env('LATCHKEY_GRPC'))
    .addOption(
      addressOption('--admin <address>', 'listener for operators', '127.0.0.1:7480').env('LATCHKEY_ADMIN_LISTEN'),
    )
    .addOption(
      new Option('--key-file <file>', 'sealing keys (default: sealing.key in the data directory)').env(
        'LATCHKEY_KEY_FILE',
      ),
    )
    .addOption(
      new Option('--key-command <command>', 'a command that prints the sealing keys').env('LATCHKEY_KEY_COMMAND'),
    )
    .option(
      '--new-operator-token',
      'make a new operator token; the old one is void here at once, in other replicas once they restart',
      false,
    )
    .option('--require-trusted-ca', 'demand a chain to a trusted CA from every certificate', false)
    .option('--coap-accept-secondary', 'take the secondary credential over CoAP too', false)
    .addOption(
      new Option('--coap-products <ids>', 'products, by comma, whose devices may say their node id as DTLS identity')
        .argParser(readProducts)
        .default([], 'none'),
    )
    .option(
      '--report-decision-times',
      'send the moment of each decision as trailing metadata, for the chaos tool; no one else needs it',
      false,
    )
    .option('--insecure-listen', 'allow listeners that other machines can reach', false);
  addLimits(command).parse(argv, { from: 'user' });
  return fromFlags(command.opts<Flags>(), sealingKeys);
}

/** Options that are numbers. */
function addLimits(command: Command): Command {
  return command
    .addOption(
      numberOption('--timestamp-early-minutes <n>', 'how long before its hour a checked timestamp passes', {
        fallback: HOUR_MINUTES,
        min: 0,
        max: 1_440,
      }),
    )
    .addOption(
      numberOption('--timestamp-late-minutes <n>', 'how long after the start of its hour a checked timestamp passes', {
        fallback: 2 * HOUR_MINUTES,
        min: 1,
        max: 1_440,
      }),
    )
    .addOption(
      numberOption('--cache-devices <n>', 'devices to keep in memory', {
        fallback: 1_000_000,
        min: 1_000,
        max: 50_000_000,
      }),
    )
    .addOption(
      numberOption('--quiet-hours <n>', 'how long an old credential must not have been used to be safe to retire', {
        fallback: 24,
        min: 0,
        max: 8_760,
      }),
    )
    .addOption(
      numberOption(
        '--failed-attempts <n>',
        'wrong proofs of a device from one address that are looked at in a row; then it is told to come again; 0: no bound',
        { fallback: 20, min: 0, max: 100_000 },
      ),
    )
    .addOption(
      numberOption('--failed-attempt-seconds <s>', 'after so long a time one more of them is looked at', {
        fallback: 5,
        min: 1,
        max: 86_400,
      }),
    );
}

function fromFlags(flags: Flags, sealingKeys: string | undefined): Config {
  requireLoopback('--grpc', flags.grpc, flags.insecureListen);
  requireLoopback('--admin', flags.admin, flags.insecureListen);
  const dataDir = resolve(flags.dataDir);
  return {
    dataDir,
    redisUrl: redisUrl(flags.store, flags.workers),
    redisReplicas: flags.redisReplicas,
    strict: flags.strict,
    workers: flags.workers,
    grpc: flags.grpc,
    admin: flags.admin,
    keys: keySource(flags, sealingKeys, dataDir),
    newOperatorToken: flags.newOperatorToken,
    requireTrustedCa: flags.requireTrustedCa,
    coapAcceptsSecondary: flags.coapAcceptSecondary,
    coapProducts: flags.coapProducts,
    timestampWindow: {
      beforeMs: flags.timestampEarlyMinutes * MINUTE_MS,
      afterMs: flags.timestampLateMinutes * MINUTE_MS,
    },
    maxCachedDevices: flags.cacheDevices,
    failures: failuresOf(flags),
    quietMs: flags.quietHours * HOUR_MINUTES * MINUTE_MS,
    reportDecisionTimes: flags.reportDecisionTimes,
    logLevel: flags.logLevel,
  };
}

function readProducts(text: string): readonly string[] {
  const products = text.split(',');
  if (products.length <= MAX_COAP_PRODUCTS && products.every((product) => /^[A-Za-z0-9_-]{1,64}$/.test(product)))
    return products;
  throw new InvalidArgumentError(`1 to ${MAX_COAP_PRODUCTS} product ids by comma, each 1 to 64 of A-Z a-z 0-9 _ and -`);
}

function failuresOf({ failedAttempts: burst, failedAttemptSeconds }: Flags): Allowance | undefined {
  return burst === 0 ? undefined : { burst, intervalMs: failedAttemptSeconds * 1_000 };
}

function redisUrl(store: string, workers: number): string | undefined {
  if (store === 'embedded') {
    if (workers === 1) return undefined;
    throw new SettingsError(
      `--workers ${workers}: the embedded store belongs to one process; give a Redis by --store redis://HOST:PORT, or leave --workers away`,
    );
  }
  if (/^rediss?(-sentinel|-cluster)?:\/\//.test(store)) return store;
  // The text itself may hold a password and is not repeated.
  throw new SettingsError(
    '--store: write "embedded" or a redis://, redis-sentinel:// or redis-cluster:// URL (rediss... for TLS)',
  );
}

function keySource(flags: Flags, sealingKeys: string | undefined, dataDir: string): KeySource {
  const given = [flags.keyFile, flags.keyCommand, sealingKeys].filter((source) => source !== undefined);
  if (given.length > 1)
    throw new SettingsError('sealing keys: give one of --key-file, --key-command and LATCHKEY_SEALING_KEYS');
  if (flags.keyCommand !== undefined) return { from: 'COMMAND', command: flags.keyCommand };
  if (sealingKeys !== undefined) return { from: 'TEXT', text: sealingKeys };
  return { from: 'FILE', path: flags.keyFile === undefined ? join(dataDir, 'sealing.key') : resolve(flags.keyFile) };
}
