import { readSetting } from '@latchkey/gateway-kit';
import { Secret } from '@latchkey/kernel';
import { type Address, formatAddress, isLoopback, parseAddress, SettingsError } from '@latchkey/runtime';
import { type Command, Option } from 'commander';
import { secureContextOf, type UpstreamConfig, type UpstreamTls } from './upstream.ts';

/** Bytes of a user name or a password that MQTT can carry behind two bytes of length. */
const MAX_FIELD_BYTES = 65_535;

const NO_FILES: UpstreamTls = { ca: undefined, identity: undefined };

/** What of the command line is about the broker behind the gateway. */
export type UpstreamFlags = {
  readonly upstream?: string;
  readonly upstreamUsername?: string;
  readonly upstreamPasswordFile?: string;
  readonly upstreamCa?: string;
  readonly upstreamCert?: string;
  readonly upstreamKey?: string;
  readonly insecureUpstream: boolean;
};

const OPTIONS = [
  ['--upstream <url>', 'a broker that takes the links of devices: mqtt://HOST:PORT or mqtts://HOST:PORT'],
  ['--upstream-username <name>', 'user name at that broker, the same for all devices; else the device id'],
  ['--upstream-password-file <file>', 'password at that broker; or LATCHKEY_UPSTREAM_PASSWORD holds it'],
  ['--upstream-ca <file>', 'CAs that vouch for that broker, PEM; SIGHUP has this and the next two read again'],
  ['--upstream-cert <file>', "the gateway's certificate for that broker, PEM"],
  ['--upstream-key <file>', 'its private key, PEM'],
] as const;

/** Adds the options of the front door; LATCHKEY_UPSTREAM_CA and so on hold them too. */
export function addUpstreamOptions(command: Command): Command {
  for (const [flags, description] of OPTIONS) {
    const option = new Option(flags, description);
    command.addOption(option.env(`LATCHKEY_${option.name().toUpperCase().replaceAll('-', '_')}`));
  }
  return command.option('--insecure-upstream', 'allow plain MQTT to a broker on another machine', false);
}

function readUrl(text: string): { readonly secure: boolean; readonly address: Address } {
  const [, scheme, place = ''] = /^(mqtts?):\/\/([^/@?#]+)$/.exec(text) ?? [];
  const secure = scheme === 'mqtts';
  try {
    if (scheme === undefined) throw new SettingsError('no such scheme');
    const hasPort = /:[0-9]+$/.test(place);
    return { secure, address: parseAddress(hasPort ? place : `${place}:${secure ? 8883 : 1883}`) };
  } catch {
    // The text itself may hold a password and is not repeated.
    throw new SettingsError('--upstream: write mqtt://HOST:PORT or mqtts://HOST:PORT, without user name and password');
  }
}

/** The broker behind the gateway; undefined: none. Throws a SettingsError that shows no secret. */
export function readUpstream(flags: UpstreamFlags, passwordText: string | undefined): UpstreamConfig | undefined {
  const { upstream, upstreamUsername: username } = flags;
  if (username !== undefined) requireField('--upstream-username', username);
  const tls = readTls(flags);
  if (tls !== undefined) secureContextOf(tls);
  const password = readPassword(flags.upstreamPasswordFile, passwordText);
  if (upstream === undefined) {
    if (tls || password || username !== undefined)
      throw new SettingsError('the --upstream-... options need --upstream');
    return undefined;
  }
  const { address, secure } = readUrl(upstream);
  if (!secure && tls) throw new SettingsError('--upstream-ca, --upstream-cert and --upstream-key need an mqtts:// URL');
  if (!secure && !isLoopback(address.host) && !flags.insecureUpstream) {
    throw new SettingsError(
      `--upstream ${formatAddress(address)} is on another machine, and messages and the gateway's password would travel ` +
        'to it in clear: use mqtts://, or say --insecure-upstream if the network itself is closed',
    );
  }
  const context = () => secureContextOf(readTls(flags) ?? NO_FILES);
  return { address, tls: secure ? context : undefined, username, password };
}

function readTls({ upstreamCa, upstreamCert, upstreamKey }: UpstreamFlags): UpstreamTls | undefined {
  if ((upstreamCert === undefined) !== (upstreamKey === undefined)) {
    throw new SettingsError('--upstream-cert and --upstream-key go together');
  }
  if (upstreamCa === undefined && upstreamCert === undefined) return undefined;
  const ca = upstreamCa === undefined ? undefined : readSetting('--upstream-ca', upstreamCa);
  const identity =
    upstreamCert === undefined || upstreamKey === undefined
      ? undefined
      : { cert: readSetting('--upstream-cert', upstreamCert), key: readSetting('--upstream-key', upstreamKey) };
  return { ca, identity };
}

function readPassword(file: string | undefined, text: string | undefined): Secret | undefined {
  if (file !== undefined && text !== undefined) {
    throw new SettingsError('give one of --upstream-password-file and LATCHKEY_UPSTREAM_PASSWORD');
  }
  const password =
    file === undefined
      ? text
      : readSetting('--upstream-password-file', file)
          .toString('utf8')
          .replace(/\r?\n$/, '');
  if (password === undefined) return undefined;
  requireField('the password for --upstream', password);
  return new Secret(password);
}

function requireField(name: string, text: string): void {
  const bytes = Buffer.byteLength(text);
  if (bytes === 0 || bytes > MAX_FIELD_BYTES)
    throw new SettingsError(`${name} must have 1 to ${MAX_FIELD_BYTES} bytes`);
}
