import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '@latchkey/kernel/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ca, newCa } from './ca.ts';
import { cli, tryCli } from './cli.ts';
import { certificateLogin } from './digest.ts';
import { type Identity, newIdentity } from './identity.ts';
import { dialIn, type Link } from './link.ts';
import { mosquitto } from './mosquitto.ts';
import { newPlace, type Place } from './place.ts';
import type { Program } from './program.ts';
import { caFile, type Launched, launch, type System, startAuth } from './system.ts';

// Two replicas over one Redis: devices connect to a gateway that asks the first, operators speak to the second.

const DEADLINE_MS = 120_000;

let work: string;
let place: Place;
let system: Launched;
let second: Program;
/** The system as its operators see it. */
let desk: System;
let ca: Ca;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'latchkey-certificates-'));
  place = await newPlace('redis');
  system = await launch(place);
  second = await startAuth(place, await freePort());
  desk = { ...system, admin: second.ready['admin'] ?? '' };
  ca = await trustedCa();
}, DEADLINE_MS);

afterAll(async () => {
  await second.end();
  await system.stop();
  await place.remove();
  rmSync(work, { recursive: true });
}, DEADLINE_MS);

async function trustedCa(): Promise<Ca> {
  const made = newCa(work);
  const registered = (await cli(desk, 'ca', 'register', made.certificate)) as {
    ca: { caId: string; verifyCode: string };
  };
  const { caId, verifyCode } = registered.ca;
  await cli(desk, 'ca', 'verify', caId, made.issue(verifyCode).certificate);
  return made;
}

/** Connects by mosquitto_pub with this certificate; gives the return code of the CONNACK. */
function connect(deviceId: string, { certificate, key }: Identity): Promise<number> {
  return mosquitto(system.mqtts, certificateLogin(deviceId), { tls: { ca: caFile(system), certificate, key } });
}

/** Opens a link that stays. */
function link(deviceId: string, { certificate, key }: Identity): Promise<Link> {
  const tls = { ca: readFileSync(caFile(system)), cert: readFileSync(certificate), key: readFileSync(key) };
  return dialIn(system.mqtts, certificateLogin(deviceId), { protocol: 'mqtts', ...tls });
}

const create = (deviceId: string, ...options: readonly string[]) => cli(desk, 'device', 'create', deviceId, ...options);

test(
  'a preset fingerprint is enough: in either form, in either slot, self-signed',
  async () => {
    const [first, next] = [await newIdentity(work), await newIdentity(work)];
    await create('preset', '--fingerprint', first.sha256);
    expect([await connect('preset', first), await connect('preset', next)]).toEqual([0, 4]);
    const slot = ['--kind', 'fingerprint', '--slot', 'secondary', '--value', next.sha1];
    await cli(desk, 'credential', 'reset', 'preset', ...slot);
    expect([await connect('preset', first), await connect('preset', next)]).toEqual([0, 0]);
  },
  DEADLINE_MS,
);

test(
  'the first certificate of a trusted CA is bound, and no other',
  async () => {
    const [mine, other] = [ca.issue('mine'), ca.issue('other')];
    await create('first-use', '--trust-on-first-use');
    expect(await connect('first-use', await newIdentity(work))).toBe(4);
    expect([await connect('first-use', mine), await connect('first-use', other)]).toEqual([0, 4]);
    expect(await connect('first-use', mine)).toBe(0);
  },
  DEADLINE_MS,
);

test(
  'a disabled certificate is refused at once and its link is closed, whatever device shows it',
  async () => {
    const [stolen, kept] = [await newIdentity(work), await newIdentity(work)];
    for (const deviceId of ['robbed-1', 'robbed-2']) await create(deviceId, '--fingerprint', stolen.sha1);
    await create('not-robbed', '--fingerprint', kept.sha256);
    const links = [await link('robbed-1', stolen), await link('robbed-2', stolen)];
    const other = await link('not-robbed', kept);
    await cli(desk, 'certificate', 'disable', stolen.sha256);
    expect([await connect('robbed-1', stolen), await connect('robbed-2', stolen)]).toEqual([4, 4]);
    for (const robbed of links) await robbed.closed();
    await other.publish();
    await other.close();
    await cli(desk, 'certificate', 'enable', stolen.sha256);
    expect(await connect('robbed-1', stolen)).toBe(0);
  },
  DEADLINE_MS,
);

test(
  'what the CRL of a CA revokes is refused at once and its link is closed, also below a fingerprint that was set',
  async () => {
    const issuer = await trustedCa();
    const [lost, named, kept] = [issuer.issue('lost'), issuer.issue('named'), issuer.issue('kept')];
    await create('lost', '--trust-on-first-use');
    await create('named', '--fingerprint', named.sha256);
    await create('kept', '--trust-on-first-use');
    const links = [await link('lost', lost), await link('named', named)];
    const other = await link('kept', kept);
    await cli(desk, 'ca', 'crl', 'set', issuer.sha256, issuer.revoke(lost, named));
    expect([await connect('lost', lost), await connect('named', named)]).toEqual([4, 4]);
    for (const ended of links) await ended.closed();
    await other.publish();
    await other.close();
    expect(await connect('kept', kept)).toBe(0);
  },
  DEADLINE_MS,
);

test(
  'a disabled CA takes along what was bound through it and what demands it, and leaves the rest',
  async () => {
    const doomed = await trustedCa();
    const [bound, strict, free] = [doomed.issue('bound'), doomed.issue('strict'), doomed.issue('free')];
    await create('bound', '--trust-on-first-use');
    await create('strict', '--fingerprint', strict.sha256, '--require-trusted-ca');
    await create('free', '--fingerprint', free.sha256);
    const links = [await link('bound', bound), await link('strict', strict)];
    const other = await link('free', free);
    await cli(desk, 'ca', 'disable', doomed.sha256);
    expect([await connect('bound', bound), await connect('strict', strict)]).toEqual([4, 4]);
    for (const ended of links) await ended.closed();
    await other.publish();
    await other.close();
    expect(await connect('free', free)).toBe(0);
    const { code } = await tryCli(desk, 'authenticate', 'strict', '--certificate', strict.certificate);
    expect(code).toBe(3);
  },
  DEADLINE_MS,
);
