import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PROGRAMS, planInstall, withoutDaemons } from './debian.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'debian-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function addPrograms(...names: string[]): void {
  for (const name of names) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), '#!/bin/sh\n');
    chmodSync(join(folder, name), 0o755);
  }
}

const PAHO = '/usr/lib/python3/dist-packages/paho/mqtt/client.py';
const SERVERS = 'curl, redis-server, mosquitto_pub, mosquitto, rabbitmq-server';
const ALL = `${SERVERS}, openssl, gnutls-cli, coap-client-openssl, coap-client-gnutls, ${PAHO}, git`;
const PACKAGES =
  'curl redis-server mosquitto-clients mosquitto rabbitmq-server openssl gnutls-bin libcoap3-bin python3-paho-mqtt git';

describe('planInstall', () => {
  it('does nothing when every program is there', () => {
    addPrograms(...Object.keys(PROGRAMS));
    expect(planInstall({ search: `/nowhere:${folder}`, isRoot: false, root: folder })).toEqual({ action: 'NOTHING' });
  });

  it('installs just what is missing, as root', () => {
    addPrograms('apt-get', 'curl', 'redis-server');
    expect(planInstall({ search: folder, isRoot: true, root: folder })).toEqual({
      action: 'INSTALL',
      packages: [
        'mosquitto-clients',
        'mosquitto',
        'rabbitmq-server',
        'openssl',
        'gnutls-bin',
        'libcoap3-bin',
        'python3-paho-mqtt',
        'git',
      ],
    });
  });

  it('says which command to run, to anybody else', () => {
    addPrograms('apt-get');
    expect(planInstall({ search: folder, isRoot: false, root: folder })).toEqual({
      action: 'TELL',
      message: `the tests need ${ALL}; run: sudo apt-get install -y ${PACKAGES}`,
    });
  });

  it('names the packages where there is no apt-get, even to root', () => {
    expect(planInstall({ search: folder, isRoot: true, root: folder })).toEqual({
      action: 'TELL',
      message: `the tests need ${ALL}; install them (Debian: ${PACKAGES})`,
    });
  });
});

describe('withoutDaemons', () => {
  it('has a policy that says no while the work runs, and takes it away when the work fails', async () => {
    const file = join(folder, 'policy-rc.d');
    const work = async () => {
      expect(readFileSync(file, 'utf8')).toContain('exit 101');
      expect(statSync(file).mode & 0o111).toBe(0o111);
      throw new Error('work failed');
    };
    await expect(withoutDaemons(work, file)).rejects.toThrow('work failed');
    expect(existsSync(file)).toBe(false);
  });

  it('leaves a policy that was there', async () => {
    const file = join(folder, 'policy-rc.d');
    writeFileSync(file, 'theirs');
    await expect(withoutDaemons(async () => 'done', file)).resolves.toBe('done');
    expect(readFileSync(file, 'utf8')).toBe('theirs');
  });
});
