import { X509Certificate } from 'node:crypto';
import { statSync } from 'node:fs';
import { isLoopback, SettingsError } from '@latchkey/runtime';
import { Option } from 'commander';
import { readIdentity, readSetting } from '../files.ts';
import type { UpstreamOptions, UpstreamTls } from './upstream.ts';

/** Where reports go to, and as whom. */
export type UpstreamSettings = Pick<UpstreamOptions, 'url' | 'username' | 'password' | 'tls'>;

/** The options that say so. */
export type UpstreamFlags = {
  readonly upstream?: string;
  readonly upstreamCredential?: string;
  readonly upstreamCa?: string;
  readonly upstreamCert?: string;
  readonly upstreamKey?: string;
  readonly insecureUpstream?: boolean;
  readonly insecureListen: boolean;
};

/** The options of a gateway that say so; each may come from the environment. */
export function upstreamOptions() {
  return [
    new Option('--upstream <url>', 'the MQTT broker that takes reports: mqtt://HOST:PORT or mqtts://HOST:PORT').env(
      'LATCHKEY_UPSTREAM',
    ),
    new Option('--upstream-credential <file>', 'one line USER:PASSWORD for it, readable for its owner alone').env(
      'LATCHKEY_UPSTREAM_CREDENTIAL',
    ),
    new Option(
      '--upstream-ca <file>',
      'CAs of its certificate, PEM (default: those of the system); SIGHUP has this and the next two read again',
    ).env('LATCHKEY_UPSTREAM_CA'),
    new Option('--upstream-cert <file>', "the gateway's certificate for it, PEM").env('LATCHKEY_UPSTREAM_CERT'),
    new Option('--upstream-key <file>', 'its private key, PEM').env('LATCHKEY_UPSTREAM_KEY'),
    new Option('--insecure-upstream', 'allow plain MQTT to a broker on another machine'),
  ];
}

/** Bits of a file's mode that let others than its owner read or write it. */
const OTHERS = 0o077;

/** `mqtt://HOST:PORT`, without user, path and the rest: what a URL holds, others can read on the command line. */
const PLACE = /^(mqtts?):\/\/(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})$/;

/** One line `USER:PASSWORD`. */
const CREDENTIAL = /^([^:\r\n]{1,256}):([^\r\n]{1,1024})\r?\n?$/;

/** Reads where reports go to. Throws a SettingsError, which shows no password. */
export function readUpstream(flags: UpstreamFlags) {
  const { upstream, upstreamCredential, insecureUpstream, insecureListen } = flags;
  if (upstream === undefined || upstreamCredential === undefined)
    throw new SettingsError('--upstream and --upstream-credential say where reports go to: both are needed');
  const [, scheme, host = ''] = PLACE.exec(upstream) ?? [];
  if (scheme === undefined) throw new SettingsError('--upstream: write mqtt://HOST:PORT or mqtts://HOST:PORT');
  const isInsecure = insecureUpstream === true || insecureListen;
  if (scheme === 'mqtt' && !isInsecure && !isLoopback(host.replaceAll(/[[\]]/g, ''))) {
    throw new SettingsError(
      `--upstream ${upstream} is on another machine, and its password would travel in clear: use mqtts://, or say ` +
        '--insecure-upstream if the network itself is closed',
    );
  }
  const tls = tlsOf(flags);
  tls?.(); // files that do not fit are settings that do not
  return { url: upstream, tls, ...readCredential(upstreamCredential) } satisfies UpstreamSettings;
}

function tlsOf({ upstreamCa, upstreamCert, upstreamKey }: UpstreamFlags): (() => UpstreamTls) | undefined {
  if ((upstreamCert === undefined) !== (upstreamKey === undefined))
    throw new SettingsError('--upstream-cert and --upstream-key go together');
  if (upstreamCa === undefined && upstreamCert === undefined) return undefined;
  return () => ({
    ca: upstreamCa === undefined ? undefined : readCas(upstreamCa),
    identity:
      upstreamCert === undefined || upstreamKey === undefined
        ? undefined
        : readIdentity(upstreamCert, upstreamKey, '--upstream'),
  });
}

/** Node takes anything for CAs, and then trusts nobody. */
function readCas(path: string): Buffer {
  const pem = readSetting('--upstream-ca', path);
  try {
    new X509Certificate(pem);
  } catch (error) {
    throw new SettingsError(`--upstream-ca ${path} holds no certificates`, { cause: error });
  }
  return pem;
}

function readCredential(path: string): Pick<UpstreamSettings, 'username' | 'password'> {
  const text = readSetting('--upstream-credential', path).toString('utf8');
  if ((statSync(path).mode & OTHERS) !== 0)
    throw new SettingsError(`--upstream-credential ${path} can be read by others: chmod 600 it`);
  const [, username, password] = CREDENTIAL.exec(text) ?? [];
  if (username === undefined || password === undefined)
    throw new SettingsError(`--upstream-credential ${path} does not hold one line USER:PASSWORD`);
  return { username, password };
}
