import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { denied } from '@latchkey/gateway-kit/testing';
import { type Broker, startBroker } from '@latchkey/gateway-kit/testing-broker';
import { type AuthenticateRequest, DenyReason, Protocol, SessionEffect } from '@latchkey/protocol/v1';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Bench, coap, codesOf, DEVICE, knowDevice, startBench, until } from '../test-bench.ts';
import { readLogin } from './login.ts';

/** Clients are processes, which start slowly on a busy machine. */
const TIMEOUT_MS = 30_000;

const SEED = 20_261_123;
const PASSWORD = 'c0ffee'.padEnd(64, '0');
const MINTED = 'minted-canary';

let broker: Broker;
let bench: Bench;
let asked: AuthenticateRequest[];
let hour = 0;

beforeAll(async () => {
  broker = await startBroker();
  bench = await startBench({ broker, limits: { connections: 2_000, sourceConnections: 2_000 } });
}, TIMEOUT_MS);
beforeEach(() => {
  asked = [];
  broker.arrived.length = 0;
  knowDevice(bench.table);
  const { answer } = bench.table;
  bench.table.answer = (attempt) => {
    asked.push(attempt);
    return answer(attempt);
  };
  bench.table.mint = (attempt) => {
    asked.push(attempt);
    const grant = { credentialId: `${attempt.deviceId}-1`, revision: 1n };
    return { result: { case: 'minted', value: { token: MINTED, granted: grant } } };
  };
});
afterAll(async () => {
  await bench.stop();
  await broker.stop();
});

/** A login that was not used before. */
function newLogin(more: Readonly<Record<string, unknown>> = {}) {
  const timestamp = String(2_026_000_000 + hour++);
  return { device_id: DEVICE, sign_type: 1, timestamp, password: PASSWORD, ...more };
}

function send(target: string, payload: string, method: 'get' | 'post' = 'post'): Promise<string> {
  return coap(bench.plainPort, { credential: [], method, target, ...(payload === '' ? {} : { payload }) });
}

async function logIn(login: object): Promise<readonly [code: string | undefined, token: string]> {
  const output = await send('/auth', JSON.stringify(login));
  return [codesOf(output)[0], /"access_token":"([^"]+)","expires_in":3600}/.exec(output)?.[1] ?? ''];
}

const report = async (token: string, device = DEVICE) =>
  codesOf(await send(`/v5/devices/${device}/sys/messages/up${token}`, 'hello'))[0];

describe('plain CoAP', { timeout: TIMEOUT_MS }, () => {
  test('says loudly that it is on', () => {
    expect(bench.logged.filter((line) => line.includes('"level":"warn"')).join('')).toContain('PLAIN CoAP IS ON');
  });

  test('a device logs in, and reports with a token that the auth service judges each time', async () => {
    const login = newLogin();
    const [code, token] = await logIn(login);
    expect(code).toBe('2.01');
    expect(asked).toMatchObject([
      {
        ...{ deviceId: DEVICE, protocol: Protocol.COAP, source: 'coap:127.0.0.1' },
        proof: { kind: { case: 'digest', value: { signType: 1, timestamp: login.timestamp, password: PASSWORD } } },
      },
    ]);
    for (const number of [1, 2]) {
      expect(await report(`?token=${token}`)).toBe('2.04');
      await until(() => broker.arrived.length === number);
    }
    expect(broker.arrived[0]).toEqual({
      topic: `$oc/devices/${DEVICE}/sys/messages/up`,
      payload: Buffer.from('hello'),
    });
    expect(asked.slice(1).map(({ proof }) => proof?.kind)).toMatchObject(
      [1, 2].map(() => ({ case: 'token', value: { token: MINTED } })),
    );
  });

  test('the token of the auth service stays here', async () => {
    const [, token] = await logIn(newLogin());
    expect(token).toMatch(/^[A-Za-z0-9_-]{22}$/);
    expect(await report(`?token=${MINTED}`)).toBe('4.01');
  });

  test('a login that comes again is refused, and nobody is asked; a wrong one uses nothing up', async () => {
    const login = newLogin();
    const { mint } = bench.table;
    bench.table.mint = () => ({ result: { case: 'denied', value: { reason: DenyReason.SECRET_MISMATCH } } });
    expect(await logIn({ ...login, password: 'f'.repeat(64) })).toEqual(['4.01', '']);
    bench.table.mint = mint;
    expect((await logIn(login))[0]).toBe('2.01');
    expect(await logIn(login)).toEqual(['4.01', '']);
    expect(asked).toHaveLength(1);
  });

  test('of two that come at once one is refused', async () => {
    const login = newLogin();
    const codes = await Promise.all([logIn(login), logIn(login)]);
    expect(codes.map(([code]) => code).toSorted()).toEqual(['2.01', '4.01']);
  });

  test.each([
    ['a time that nobody checks', { sign_type: 0 }],
    ['no time', { timestamp: 'now' }],
    ['no digest', { password: 'short' }],
    ['no device', { device_id: 'a b' }],
    ['a device alone', { sign_type: undefined, timestamp: undefined, password: undefined }],
  ])('%s is no login', async (_name, wrong) => {
    expect(await logIn(newLogin(wrong))).toEqual(['4.00', '']);
    expect(asked).toEqual([]);
  });

  test.each([
    [DenyReason.SECONDARY_NOT_ACCEPTED, '4.01'],
    [DenyReason.FROZEN, '4.03'],
    [DenyReason.THROTTLED, '5.03'],
  ])('reason %i is told as %s', async (reason, code) => {
    const [, token] = await logIn(newLogin());
    bench.table.mint = () => ({ result: { case: 'denied', value: { reason } } });
    bench.table.answer = () => denied(reason);
    expect((await logIn(newLogin()))[0]).toBe(code);
    expect(await report(`?token=${token}`)).toBe(code);
    expect(broker.arrived).toEqual([]);
  });

  test('no decision is told as such, and uses no login up', async () => {
    const login = newLogin();
    const { mint } = bench.table;
    bench.table.mint = () => {
      throw new Error('it failed');
    };
    expect((await logIn(login))[0]).toBe('5.03');
    bench.table.mint = mint;
    expect((await logIn(login))[0]).toBe('2.01');
  });

  test('no token, two, a made-up one or another device’s: nobody is asked', async () => {
    const [, token] = await logIn(newLogin());
    asked.length = 0;
    expect(await report('')).toBe('4.01');
    expect(await report(`?token=${token}&token=${token}`)).toBe('4.01');
    expect(await report('?token=AAAAAAAAAAAAAAAAAAAAAA')).toBe('4.01');
    expect(await report(`?token=${token}`, 'P1_other')).toBe('4.03');
    expect(asked).toEqual([]);
  });

  test.each([
    ['post', `/rd?ep=${DEVICE}`, '4.04'],
    ['get', `/v5/devices/${DEVICE}/sys/messages/down`, '4.04'],
    ['get', '/auth', '4.05'],
    ['get', '/nowhere', '4.04'],
    ['get', '/.well-known/core', '2.05'],
  ] as const)('%s %s: %s', async (method, target, code) => {
    expect(codesOf(await send(target, '', method))).toEqual([code]);
  });

  test('any bytes are no login, and any datagrams no error', async () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), fc.json().map(Buffer.from)), (body) => readLogin(body) === undefined),
      { seed: SEED, numRuns: 2_000 },
    );
    const socket = createSocket('udp4');
    const answers: string[] = [];
    socket.on('message', (answer) => answers.push(answer.toString('hex')));
    const send = (datagram: Uint8Array) => socket.send(datagram, bench.plainPort, '127.0.0.1');
    for (const datagram of fc.sample(fc.uint8Array({ minLength: 4, maxLength: 60 }), { seed: SEED, numRuns: 2_000 })) {
      datagram.set([0x40 | (datagram[0] ?? 0), (datagram[1] ?? 0) % 5]); // a request, as often as not
      send(datagram);
      await new Promise(setImmediate); // so that the socket's queue holds them
    }
    await until(() => {
      send(Buffer.from('4000abcd', 'hex'));
      return answers.includes('7000abcd');
    });
    socket.close();
    expect(bench.logged.filter((line) => line.includes('"level":"error"'))).toEqual([]);
  });

  test('addresses are remembered, but not without end', async () => {
    const open = async () =>
      Number(/^latchkey_gateway_connections_open(?:{[^}]*})? (\d+)/m.exec(await bench.metrics())?.[1]);
    const before = await open();
    const sockets = Array.from({ length: 1_050 }, () => createSocket('udp4'));
    for (const socket of sockets) {
      const answered = once(socket, 'message');
      socket.send(Buffer.from('40001234', 'hex'), bench.plainPort, '127.0.0.1');
      expect((await answered)[0]).toEqual(Buffer.from('70001234', 'hex'));
    }
    for (const socket of sockets) socket.close();
    expect(before).toBeGreaterThan(0);
    expect(await open()).toBe(1_000);
  });

  test('a change that overtakes the verdict keeps a report back', async () => {
    const [, token] = await logIn(newLogin());
    const { answer } = bench.table;
    bench.table.answer = async (attempt) => {
      bench.table.change({ deviceId: DEVICE, revision: 9n, effect: SessionEffect.CLOSE_DEVICE });
      await new Promise((resolve) => setTimeout(resolve, 300));
      return answer(attempt);
    };
    expect(await report(`?token=${token}`)).toBe('5.03');
    expect(broker.arrived).toEqual([]);
  });

  test('no token and no password lies in a log or a metric', async () => {
    for (const text of [bench.logged.join(''), await bench.metrics()]) {
      expect(text).not.toContain('canary');
      expect(text).not.toContain('c0ffee');
    }
  });
});
