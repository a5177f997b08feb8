import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { runCli } from './program.ts';
import { START_TIMEOUT_MS, startTestService, type TestService } from './test-service.ts';

vi.setConfig({ testTimeout: START_TIMEOUT_MS, hookTimeout: START_TIMEOUT_MS });

let dir: string;
let service: TestService;
let out: string;
let err: string;

beforeAll(async () => {
  service = await startTestService();
  dir = service.dir;
});

afterAll(() => service.stop());

function cli(line: string): Promise<number> {
  [out, err] = ['', ''];
  return runCli(['--data-dir', dir, ...line.split(' ')], {
    print: (part) => (out += part),
    complain: (part) => (err += part),
    readInput: async () => '',
    now: () => Date.now(),
    uuid: randomUUID,
    token: undefined,
  });
}

async function register(id: string): Promise<void> {
  expect(await cli(`device create ${id} --secret old-secret`)).toBe(0);
  expect(await cli(`credential reset ${id} --kind secret --slot secondary --value new-secret`)).toBe(0);
}

test('without --execute a retirement is a rehearsal', async () => {
  await register('rehearsed');
  expect(await cli('credential retire rehearsed --slot primary')).toBe(0);
  expect(out).toMatch(/^DEVICE +LOCKS OUT +LAST USE +DONE +REVISION\nrehearsed +yes +never +no +\d+\n$/);
  expect(err).toBe('nothing was changed; 1 of 1 would be locked out; --execute does it\n');
  expect(await cli('device get rehearsed')).toBe(0);
  expect(out).toMatch(/primary +set/);
});

test('a retirement is set, shown, moved and carried out', async () => {
  await register('retired');
  expect(await cli('credential retire retired --slot primary --at 2126-12-01T08:00Z --execute')).toBe(0);
  expect([out, err]).toEqual([expect.stringMatching(/retired +yes +never +yes +\d+\n/), '']);
  expect(await cli('device get retired')).toBe(0);
  expect(out).toMatch(/primary +set .* retires 2126-12-01T08:00:00.000Z\n/);
  expect(await cli('credential retire retired --slot primary --on-other-used --execute')).toBe(0);
  expect(await cli('rotation report retired')).toBe(0);
  expect(out.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
    ['DEVICE', 'SLOT', 'STATE', 'SET', 'FIRST USE', 'LAST USE', 'RETIRES', 'SAFE'],
    ['retired', 'primary', 'set', expect.any(String), 'never', 'never', 'on use of the other', 'no'],
    ['retired', 'secondary', 'set', expect.any(String), 'never', 'never', '-', 'no'],
    [''],
  ]);
  expect(await cli('credential retire retired --slot primary --execute --json')).toBe(0);
  expect(JSON.parse(out).outcomes).toMatchObject([{ deviceId: 'retired', done: true, locksOut: true }]);
  expect(await cli('device get retired')).toBe(0);
  expect(out).toMatch(/primary +empty\n/);
});

test('a promotion shows what stands then', async () => {
  await register('promoted');
  expect(await cli('device get promoted --json')).toBe(0);
  const before = JSON.parse(out).device;
  expect(await cli('credential promote promoted --json')).toBe(0);
  expect(JSON.parse(out).device.primary.credentialId).toBe(before.secondary.credentialId);
});

test('a report without a device is one of the fleet, up to a limit', async () => {
  await register('fleet-1');
  await register('fleet-2');
  expect(await cli('rotation report --limit 1 --json')).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    devices: [{ slots: [{}, {}], safeToRetire: 'SLOT_UNSPECIFIED' }],
    more: true,
  });
  expect(await cli('rotation report')).toBe(0);
  expect(out).toMatch(/\nfleet-2 +secondary /);
});

test.each([
  ['credential retire', 2],
  ['credential retire a', 2],
  ['credential retire a --slot both', 2],
  ['credential retire a --slot primary --at tomorrow', 2],
  ['credential retire a --slot primary --at 2026-12-01T08:00', 2],
  ['credential retire a --slot primary --at 2126-12-01T08:00Z --on-other-used', 2],
  ['credential retire nobody --slot primary --execute', 4],
  ['credential promote nobody', 4],
  ['rotation report nobody', 4],
])('%s ends with %i', async (line, code) => {
  expect(await cli(line)).toBe(code);
  expect([out, err]).toEqual(['', expect.stringMatching(/^latchkey: /)]);
});
