import { accessSync, constants, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Run } from './command.ts';

/** Programs that the tests run, and a file that one of them needs, with the Debian package that holds each. */
export const PROGRAMS: Readonly<Record<string, string>> = {
  curl: 'curl',
  'redis-server': 'redis-server',
  mosquitto_pub: 'mosquitto-clients',
  mosquitto: 'mosquitto',
  'rabbitmq-server': 'rabbitmq-server',
  openssl: 'openssl',
  'gnutls-cli': 'gnutls-bin',
  'coap-client-openssl': 'libcoap3-bin',
  'coap-client-gnutls': 'libcoap3-bin',
  '/usr/lib/python3/dist-packages/paho/mqtt/client.py': 'python3-paho-mqtt',
  git: 'git',
};

/** What is to be done about missing programs. */
export type Plan =
  | { readonly action: 'NOTHING' }
  | { readonly action: 'INSTALL'; readonly packages: readonly string[] }
  | { readonly action: 'TELL'; readonly message: string };

/** What a plan is made from; `search` is a list of folders in the manner of PATH, `root` where files are looked for. */
export type Machine = { readonly search: string; readonly isRoot: boolean; readonly root?: string };

/** apt-get's maintainer scripts ask this file before they start a daemon; 101 means no. */
const POLICY_FILE = '/usr/sbin/policy-rc.d';
const POLICY_TEXT = '#!/bin/sh\nexit 101\n';

function isThere(file: string, mode: number): boolean {
  try {
    accessSync(file, mode);
    return true;
  } catch {
    return false;
  }
}

/** Is there such a program, or such a file? */
function has({ search, root = '/' }: Omit<Machine, 'isRoot'>, program: string): boolean {
  if (program.startsWith('/')) return isThere(join(root, program), constants.R_OK);
  return search.split(delimiter).some((folder) => isThere(join(folder, program), constants.X_OK));
}

/** Decides how missing programs get onto the machine: as root with apt-get by ourselves, else by whoever reads it. */
export function planInstall(machine: Machine, programs: Readonly<Record<string, string>> = PROGRAMS): Plan {
  const missing = Object.keys(programs).filter((program) => !has(machine, program));
  if (missing.length === 0) return { action: 'NOTHING' };
  const packages = [...new Set(missing.map((program) => programs[program] ?? program))];
  const hasApt = has(machine, 'apt-get');
  if (machine.isRoot && hasApt) return { action: 'INSTALL', packages };
  const how = hasApt
    ? `run: sudo apt-get install -y ${packages.join(' ')}`
    : `install them (Debian: ${packages.join(' ')})`;
  return { action: 'TELL', message: `the tests need ${missing.join(', ')}; ${how}` };
}

/**
 * Does the work while no package may start its daemon; the tests start their own servers. A policy that stands there
 * already is its owner's and stays. (RUNLEVEL=1 would leave no file, but systemd's helper does not look at it.)
 */
export async function withoutDaemons<T>(work: () => Promise<T>, file = POLICY_FILE): Promise<T> {
  let ours = true;
  try {
    writeFileSync(file, POLICY_TEXT, { flag: 'wx', mode: 0o755 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    ours = false;
  }
  try {
    return await work();
  } finally {
    if (ours) rmSync(file, { force: true });
  }
}

/** Installs Debian packages. Rejects with apt-get's output when that fails. */
export async function installPackages(packages: readonly string[], run: Run): Promise<void> {
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  await withoutDaemons(async () => {
    for (const args of [['update'], ['install', '-y', '--no-install-recommends', ...packages]]) {
      const { code, output } = await run('apt-get', args, { env });
      if (code !== 0) throw new Error(`apt-get ${args.join(' ')} ended with ${code}:\n${output}`);
    }
  });
}
