import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import {
  CredentialService,
  DeviceService,
  type ListDevicesRequest,
  type ResetCredentialRequest,
  type RetireCredentialRequest,
  Slot,
} from '@latchkey/protocol/v1';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { runCli } from './program.ts';

// What the commands ask for, where the answer does not show it.
const PAGE = 1000;
const FLEET = 2500;

let server: Server;
let admin: string;
let lists: ListDevicesRequest[];
let resets: ResetCredentialRequest[];
let retirements: RetireCredentialRequest[];

beforeAll(async () => {
  const routes = connectNodeAdapter({
    routes: (router) =>
      router
        .service(DeviceService, {
          listDevices: (request) => {
            lists.push(request);
            const start = Number(request.pageToken);
            const end = Math.min(start + request.pageSize, FLEET);
            const devices = Array.from({ length: end - start }, (_, index) => ({ deviceId: `d${start + index}` }));
            return { devices, nextPageToken: end < FLEET ? String(end) : '' };
          },
        })
        .service(CredentialService, {
          resetCredential: (request) => {
            resets.push(request);
            return {};
          },
          retireCredential: (request) => {
            retirements.push(request);
            return { outcomes: request.deviceIds.map((deviceId) => ({ deviceId })) };
          },
        }),
  });
  server = createServer(routes);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  admin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

beforeEach(() => {
  [lists, resets, retirements] = [[], [], []];
});

async function cli(line: string): Promise<string> {
  let out = '';
  const code = await runCli(['--admin', admin, '--json', ...line.split(' ')], {
    print: (part) => {
      out += part;
    },
    complain: (part) => {
      out += part;
    },
    readInput: async () => '',
    now: () => 0,
    uuid: randomUUID,
    token: 'a-token',
  });
  expect([code, out]).toEqual([0, expect.any(String)]);
  return out;
}

test('a listing asks for full pages, and for no more than its limit', async () => {
  const { devices, more } = JSON.parse(await cli('device list --limit 2200'));
  expect(lists.map(({ pageToken, pageSize }) => [pageToken, pageSize])).toEqual([
    ['', PAGE],
    ['1000', PAGE],
    ['2000', 200],
  ]);
  expect([devices.length, devices[0].deviceId, devices[2199].deviceId, more]).toEqual([2200, 'd0', 'd2199', true]);
});

test('a listing ends with the fleet', async () => {
  const { devices, more } = JSON.parse(await cli('device list --limit 100000'));
  expect([lists.length, devices.length, more]).toEqual([3, FLEET, false]);
});

test('each write draws an id of its own, unless it is told one', async () => {
  const reset = 'credential reset d --kind secret --slot primary';
  await cli(reset);
  await cli(reset);
  await cli(`${reset} --request-id 7e57ab1e-0000-4000-8000-000000000001`);
  const [first, second, third] = resets.map(({ requestId }) => requestId);
  expect(first).toMatch(/^[0-9a-f-]{36}$/);
  expect(second).not.toBe(first);
  expect(third).toBe('7e57ab1e-0000-4000-8000-000000000001');
});

test('a reset closes sessions and looks at the revision only when it is told to', async () => {
  const reset = 'credential reset d --kind secret --slot primary';
  await cli(reset);
  await cli(`${reset} --force-disconnect --expected-revision 9007199254740991`);
  expect(resets.map(({ forceDisconnect, expectedRevision }) => [forceDisconnect, expectedRevision])).toEqual([
    [false, undefined],
    [true, 9_007_199_254_740_991n],
  ]);
});

test('a retirement changes nothing unless it is told to, and says when it shall be', async () => {
  await cli('credential retire a b --slot secondary');
  await cli('credential retire a --slot primary --at 2026-12-01T09:00+01:00 --execute --expected-revision 7');
  await cli('credential retire a --slot primary --on-other-used --execute');
  expect(retirements.map(({ deviceIds, slot, execute }) => [deviceIds, slot, execute])).toEqual([
    [['a', 'b'], Slot.SECONDARY, false],
    [['a'], Slot.PRIMARY, true],
    [['a'], Slot.PRIMARY, true],
  ]);
  expect(retirements.map(({ moment }) => moment.case)).toEqual([undefined, 'deadline', 'onOtherUsed']);
  expect(retirements[1]?.moment.value).toEqual(timestampFromMs(Date.UTC(2026, 11, 1, 8)));
  expect(retirements[1]?.expectedRevision).toBe(7n);
});

test('a long list is retired in parts of what a call takes, under one id', async () => {
  const ids = Array.from({ length: 2100 }, (_, index) => `d${index}`);
  const { outcomes } = JSON.parse(await cli(`credential retire ${ids.join(' ')} --slot primary`));
  expect(retirements.map(({ deviceIds }) => deviceIds.length)).toEqual([1000, 1000, 100]);
  expect(outcomes.map(({ deviceId }: { deviceId: string }) => deviceId)).toEqual(ids);
  expect(new Set(retirements.map(({ requestId }) => requestId)).size).toBe(1);
});
