import { expect } from 'vitest';
import { whileUndecided } from './again.ts';
import { cli, cliSecret, tryCli } from './cli.ts';
import { certificateLogin, hourOf, type Login, login, signedLogin } from './digest.ts';
import { newIdentity } from './identity.ts';
import { dial, dialIn } from './link.ts';
import { mosquitto } from './mosquitto.ts';
import { deviceOf, freeze, register, registerCertificate, remove } from './operator.ts';
import { caFile, type System } from './system.ts';
import { answerBytes } from './wire.ts';

/** A piece of the road; its devices have names of their own, so that all pieces share a system and run at once. */
export type Case = { readonly name: string; readonly run: (system: System) => Promise<void> };

const SECRET = 'first-secret';
const HOUR_MS = 3_600_000;

/** What must hold over every store. */
export const ROAD: readonly Case[] = [
  { name: 'every client gets in with the generated primary secret', run: everyClientGetsIn },
  { name: 'the first connect, and nothing before it, activates the device', run: firstConnectActivates },
  { name: 'a reset of the secondary disturbs nobody, and the new secret takes the link over', run: secondaryIsReset },
  { name: 'a reset of the primary refuses the old one at once and leaves its link', run: primaryIsReset },
  { name: 'a reset by force closes the links', run: resetByForce },
  { name: 'a frozen device is dropped and refused, and told so only with a right proof', run: frozen },
  { name: 'a deleted device is dropped and refused, and can be registered anew', run: deleted },
  { name: 'a malformed client id and a keepalive out of bounds are answered 2', run: malformed },
  { name: 'a device cannot tell a wrong secret from an unknown device', run: indistinguishable },
  { name: 'sign type 1 passes in its hour only', run: signTypeOne },
  { name: 'a certificate with a preset fingerprint gets in, another one does not', run: certificates },
  { name: 'a reset of the secondary fingerprint lets the next certificate in', run: certificateRotation },
  { name: 'a dry run of a proof changes nothing', run: dryRun },
  { name: 'the tool tells failures apart by its exit code', run: toolFailures },
];

async function everyClientGetsIn(system: System): Promise<void> {
  const secret = await cliSecret(system, 'device', 'create', 'every-client');
  expect(secret).toMatch(/^[A-Za-z0-9_-]{32}$/);
  const right = login('every-client', secret);
  const tls = { ca: caFile(system) };
  expect(await mosquitto(system.mqtt, right, { version: 'mqttv31' })).toBe(0);
  expect(await mosquitto(system.mqtt, right, { version: 'mqttv311' })).toBe(0);
  expect(await mosquitto(system.mqtts, right, { tls })).toBe(0);
  expect(await mosquitto(system.mqtts, login('every-client', 'not-the-secret'), { tls })).toBe(4);
  const link = await dialIn(system.mqtt, right);
  await link.publish();
  await link.close();
  expect(await dial(system.mqtt, login('every-client', 'not-the-secret'))).toBe(4);
}

async function firstConnectActivates(system: System): Promise<void> {
  const right = await registered(system, 'activated');
  expect(await mosquitto(system.mqtt, login('activated', 'not-the-secret'))).toBe(4);
  const before = await deviceOf(system, 'activated');
  expect(before).toMatchObject({ status: 'DEVICE_STATUS_INACTIVE' });
  expect(before).not.toHaveProperty('activatedAt');
  expect(await mosquitto(system.mqtt, right)).toBe(0);
  const after = await deviceOf(system, 'activated');
  expect(after).toMatchObject({ status: 'DEVICE_STATUS_ACTIVE', activatedAt: expect.any(String) });
  expect(await cli(system, 'device', 'get', 'activated')).toMatchObject({ device: after });
  expect(await mosquitto(system.mqtt, right)).toBe(0);
  expect(await deviceOf(system, 'activated')).toEqual(after);
}

async function secondaryIsReset(system: System): Promise<void> {
  await register(system, 'second', SECRET);
  const old = await dialIn(system.mqtt, login('second', SECRET));
  const secret = await cliSecret(system, ...RESET, 'second', '--slot', 'secondary');
  await changesAreHeard(system, 'second');
  await old.publish();
  expect(old.isOpen()).toBe(true);

  const fresh = await dialIn(system.mqtt, login('second', secret));
  await old.closed(); // one link per device, the new one wins
  await fresh.publish();
  await fresh.close();
  expect(await mosquitto(system.mqtt, login('second', SECRET))).toBe(0);
}

async function primaryIsReset(system: System): Promise<void> {
  // Some 20 s after it has begun to follow changes, a gateway asks about its sessions, which ends those whose credential
  // was reset. That is once: a slow machine may meet it with the first device, and not with the second.
  const isLeft = async (id: string) => (await linkAfterReset(system, id)) || linkAfterReset(system, `${id}-again`);
  expect(await isLeft('first')).toBe(true);
}

/** Resets the primary secret of a device that is connected with it, and says whether the link is left open. */
async function linkAfterReset(system: System, id: string): Promise<boolean> {
  await register(system, id, SECRET);
  const old = await dialIn(system.mqtt, login(id, SECRET));
  const secret = await cliSecret(system, ...RESET, id, '--slot', 'primary');
  expect(await mosquitto(system.mqtt, login(id, SECRET))).toBe(4);
  expect(await dial(system.mqtt, login(id, SECRET))).toBe(4);
  await changesAreHeard(system, id);
  const isLeft = await old.publish().then(old.isOpen, () => false);
  await old.close();
  expect(await mosquitto(system.mqtt, login(id, secret))).toBe(0);
  return isLeft;
}

async function resetByForce(system: System): Promise<void> {
  await register(system, 'forced', SECRET);
  const link = await dialIn(system.mqtt, login('forced', SECRET));
  const other = await dialIn(system.mqtt, await registered(system, 'not-forced'));
  const value = ['--value', 'second-secret'];
  const reset = await cli(system, ...RESET, 'forced', '--slot', 'secondary', ...value, '--force-disconnect');
  expect(reset).toMatchObject({ credential: { state: 'SLOT_STATE_SET' }, revision: expect.any(String) });
  await link.closed();
  await other.publish();
  await other.close();
  expect(await mosquitto(system.mqtt, login('forced', SECRET))).toBe(0);
  expect(await mosquitto(system.mqtt, login('forced', 'second-secret'))).toBe(0);
}

async function frozen(system: System): Promise<void> {
  const right = await registered(system, 'frozen');
  const link = await dialIn(system.mqtt, right);
  await cli(system, 'device', 'freeze', 'frozen');
  await link.closed();
  expect(await mosquitto(system.mqtt, right)).toBe(5);
  expect(await dial(system.mqtt, right)).toBe(5);
  expect(await mosquitto(system.mqtt, login('frozen', 'not-the-secret'))).toBe(4);
  expect(await deviceOf(system, 'frozen')).toMatchObject({ status: 'DEVICE_STATUS_FROZEN' });
  await cli(system, 'device', 'unfreeze', 'frozen');
  expect(await mosquitto(system.mqtt, right)).toBe(0);
}

async function deleted(system: System): Promise<void> {
  const right = await registered(system, 'deleted');
  const link = await dialIn(system.mqtt, right);
  await cli(system, 'device', 'delete', 'deleted');
  await link.closed();
  expect(await mosquitto(system.mqtt, right)).toBe(4);
  await expect(deviceOf(system, 'deleted')).rejects.toThrow('not_found');
  await register(system, 'deleted', 'second-secret');
  expect(await mosquitto(system.mqtt, right)).toBe(4);
  expect(await mosquitto(system.mqtt, login('deleted', 'second-secret'))).toBe(0);
}

async function malformed(system: System): Promise<void> {
  const right = await registered(system, 'malformed');
  const clientIds = ['malformed', 'malformed_1_0_2025041401', 'malformed_0_3_2025041401', 'malformed_0_0_20250414'];
  for (const clientId of clientIds) expect(await mosquitto(system.mqtt, { ...right, clientId })).toBe(2);
  expect(await mosquitto(system.mqtt, { ...right, username: 'another' })).toBe(4);
  for (const keepaliveS of [10, 29, 1201]) expect(await mosquitto(system.mqtt, right, { keepaliveS })).toBe(2);
  for (const keepaliveS of [30, 1200]) expect(await mosquitto(system.mqtt, right, { keepaliveS })).toBe(0);
}

async function indistinguishable(system: System): Promise<void> {
  const right = await registered(system, 'known');
  const answer = (login: Login) => whileUndecided(() => answerBytes(system.mqtt, login), '20020003');
  const wrong = await answer(login('known', 'not-the-secret'));
  expect(wrong).toBe('20020004'); // CONNACK, no session, return code 4, and not a byte more
  expect(await answer(login('unknown', 'not-the-secret'))).toBe(wrong);
  expect(await answer({ ...right, password: 'not hexadecimal' })).toBe(wrong);
}

async function signTypeOne(system: System): Promise<void> {
  await register(system, 'signed', SECRET);
  const now = Date.now();
  const at = (time: number) => signedLogin('signed', SECRET, 1, hourOf(new Date(time)));
  expect(await mosquitto(system.mqtt, at(now))).toBe(0);
  expect(await mosquitto(system.mqtt, at(now - 24 * HOUR_MS))).toBe(4);
  expect(await mosquitto(system.mqtt, at(now + 24 * HOUR_MS))).toBe(4);
}

async function certificates(system: System): Promise<void> {
  const [own, foreign] = await Promise.all([newIdentity(system.dataDir), newIdentity(system.dataDir)]);
  const ca = caFile(system);
  await cli(system, 'device', 'create', 'certified', '--fingerprint', own.sha256);
  await registerCertificate(system, 'certified-1', own.sha1.toLowerCase());
  const show = (id: string, tls: { readonly certificate?: string; readonly key?: string }) =>
    mosquitto(system.mqtts, certificateLogin(id), { tls: { ca, ...tls } });
  expect(await show('certified', own)).toBe(0);
  expect(await show('certified-1', own)).toBe(0);
  expect(await show('certified', foreign)).toBe(4);
  expect(await show('certified', {})).toBe(4);
  expect(await mosquitto(system.mqtts, login('certified', SECRET), { tls: { ca } })).toBe(4);
  await register(system, 'not-certified', SECRET);
  expect(await show('not-certified', own)).toBe(4);
}

async function certificateRotation(system: System): Promise<void> {
  const [old, next] = await Promise.all([newIdentity(system.dataDir), newIdentity(system.dataDir)]);
  const show = (tls: { readonly certificate: string; readonly key: string }) =>
    mosquitto(system.mqtts, certificateLogin('renewed'), { tls: { ca: caFile(system), ...tls } });
  const reset = ['credential', 'reset', 'renewed', '--kind', 'fingerprint', '--value', next.sha256, '--slot'];
  await registerCertificate(system, 'renewed', old.sha256);
  expect([await show(old), await show(next)]).toEqual([0, 4]);
  await cli(system, ...reset, 'secondary');
  expect([await show(old), await show(next)]).toEqual([0, 0]);
  await cli(system, ...reset, 'primary');
  expect([await show(old), await show(next)]).toEqual([4, 0]);
}

async function dryRun(system: System): Promise<void> {
  await register(system, 'dry', SECRET);
  const before = await deviceOf(system, 'dry');
  expect(before).toMatchObject({ status: 'DEVICE_STATUS_INACTIVE' });
  const right = await tryCli(system, 'authenticate', 'dry', '--secret', SECRET, '--digest');
  expect(right).toMatchObject({ code: 0, json: { granted: { slot: 'SLOT_PRIMARY' }, wouldActivate: true } });
  const wrong = await tryCli(system, 'authenticate', 'dry', '--secret', 'not-the-secret');
  expect(wrong).toMatchObject({ code: 3, json: { denied: { reason: 'DENY_REASON_SECRET_MISMATCH' } } });
  expect(await deviceOf(system, 'dry')).toEqual(before);
}

async function toolFailures(system: System): Promise<void> {
  await register(system, 'taken', SECRET);
  const code = async (...args: string[]) => (await tryCli(system, ...args)).code;
  expect(await code('device', 'create', 'taken')).toBe(5);
  expect(await code('device', 'get', 'nowhere')).toBe(4);
  expect(await code(...RESET, 'taken', '--slot', 'primary', '--expected-revision', '999999')).toBe(5);
  expect(await code(...RESET, 'taken', '--slot', 'primary', '--value', 'short')).toBe(2);
}

const RESET = ['credential', 'reset', '--kind', 'secret'] as const;

async function registered(system: System, deviceId: string) {
  await register(system, deviceId, SECRET);
  return login(deviceId, SECRET);
}

/** Waits until the gateway has heard of every change so far: it hears of changes in order, so a later one shows it. */
async function changesAreHeard(system: System, name: string): Promise<void> {
  const witness = `${name}-witness`;
  const link = await dialIn(system.mqtt, await registered(system, witness));
  await freeze(system, witness);
  await link.closed();
  await remove(system, witness);
}
