import { expect, test, vi } from 'vitest';
import { certificateMaker, forEachOf, type Held, newSecret } from './fleet.ts';
import type { Link } from './link.ts';
import { create, resetSlot, retire, rotationReport } from './operator.ts';
import { placeFor, systemFor } from './scope.ts';
import type { System } from './system.ts';

// Five hundred links, half of them with TLS, on a machine that may be busy.
vi.setConfig({ testTimeout: 240_000 });

const DEVICES = 500;
const STEPS = 5;
const AT_A_TIME = 20;

type Device = { readonly id: string; readonly old: Held; readonly fresh: Held; link: Link | undefined };

/** Devices by turns with a secret and with a certificate, registered with the old one. */
async function registered(system: System): Promise<readonly Device[]> {
  const newCertificate = await certificateMaker();
  const devices: Device[] = [];
  for (let number = 0; number < DEVICES; number++) {
    const held = number % 2 === 0 ? async () => newSecret() : newCertificate;
    const id = `drill-${String(number).padStart(3, '0')}`;
    devices.push({ id, old: await held(), fresh: await held(), link: undefined });
  }
  await forEachOf(devices, AT_A_TIME, ({ id, old }) => create(system, id, old.credential));
  return devices;
}

const open = (devices: readonly Device[]) => devices.filter(({ link }) => link?.isOpen()).map(({ id }) => id);
const idsOf = (devices: readonly Device[]) => devices.map(({ id }) => id);

/** The report must say of each device which of its credentials were used. */
async function expectReport(system: System, devices: readonly Device[], moved: readonly Device[]): Promise<void> {
  const report = await rotationReport(system);
  expect(report.map(({ deviceId }) => deviceId)).toEqual(idsOf(devices));
  const usedIn = (slot: string) => {
    const used = report.filter(({ slots }) => slots.some((use) => use.credential.slot === slot && use.firstUsedAt));
    return used.map(({ deviceId }) => deviceId);
  };
  expect(usedIn('SLOT_PRIMARY')).toEqual(idsOf(devices));
  expect(usedIn('SLOT_SECONDARY')).toEqual(idsOf(moved));
  // The old credential was used within this minute, so it is called safe to retire for nobody yet.
  expect(report.filter(({ safeToRetire }) => safeToRetire !== undefined)).toEqual([]);
}

test('a fleet of 500 changes its credentials, and no session drops but those that are meant to', async (scope) => {
  const system = await systemFor(scope, await placeFor(scope));
  const devices = await registered(system);
  const all = idsOf(devices);
  await forEachOf(devices, AT_A_TIME, async (device) => {
    device.link = await device.old.connect(system, device.id);
  });

  await forEachOf(devices, AT_A_TIME, ({ id, fresh }) => resetSlot(system, id, 'SECONDARY', fresh.credential));
  expect(open(devices)).toEqual(all);
  await expectReport(system, devices, []);

  for (let step = 1; step <= STEPS; step++) {
    const from = (DEVICES / STEPS) * (step - 1);
    const moved = devices.slice(0, (DEVICES / STEPS) * step);
    await forEachOf(moved.slice(from), AT_A_TIME, async (device) => {
      await device.link?.close();
      device.link = await device.fresh.connect(system, device.id);
    });
    expect(open(devices)).toEqual(all);
    await expectReport(system, devices, moved);
    const lockedOut = await retire(system, all, 'PRIMARY', 'DRY_RUN');
    expect(lockedOut).toEqual(all.slice(moved.length));
  }

  expect(await retire(system, all, 'PRIMARY', 'EXECUTE')).toEqual([]);
  for (const { id, old } of devices.slice(0, 10))
    await expect(old.connect(system, id)).rejects.toThrow('refused with 4');
  await forEachOf(devices, AT_A_TIME, async ({ link }) => link?.publish());
  expect(open(devices)).toEqual(all);

  const forced = devices.slice(200, 210);
  await forEachOf(forced, AT_A_TIME, ({ id, old }) => resetSlot(system, id, 'PRIMARY', old.credential, 'FORCE'));
  await Promise.all(forced.map(({ link }) => link?.closed()));
  const others = devices.filter((device) => !forced.includes(device));
  await forEachOf(others, AT_A_TIME, async ({ link }) => link?.publish());
  expect(open(devices)).toEqual(idsOf(others));
  await forEachOf(forced, AT_A_TIME, async (device) => {
    device.link = await device.fresh.connect(system, device.id);
  });
  expect(open(devices)).toEqual(all);
  await forEachOf(devices, AT_A_TIME, async ({ link }) => link?.close());
});
