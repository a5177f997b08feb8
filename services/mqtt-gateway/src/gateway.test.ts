import { denied, granted } from '@latchkey/gateway-kit/testing';
import { type AuthenticateRequest, ChangeKind, DenyReason, Protocol, SessionEffect } from '@latchkey/protocol/v1';
import { connect, type IClientOptions } from 'mqtt';
import { describe, expect, test } from 'vitest';
import { closed, dial, dialIn, login, mosquittoPub, until } from './test-bench.ts';
import { farewell, Links, VERSIONS } from './test-links.ts';

const links = new Links({ deadlines: { decisionMs: 500, holdMs: 20 } });

describe.each(VERSIONS)('$name', ({ speak, flag, column }) => {
  const online = (deviceId: string) => links.online(deviceId, speak);
  const knock = (deviceId: string, more: IClientOptions = {}) =>
    dial(links.bench.mqtt, { ...login(deviceId), ...speak, ...more });
  const mosquitto = (deviceId: string, ...more: readonly string[]) => {
    const { clientId, username, password } = login(deviceId);
    const who = ['-i', clientId, '-u', username, '-P', password, '-V', flag];
    return mosquittoPub(['-p', String(links.bench.mqtt), ...who, ...more]);
  };

  test('the service is asked what the device presented, and the device gets in', async () => {
    const asked: AuthenticateRequest[] = [];
    links.bench.table.answer = (attempt) => {
      asked.push(attempt);
      return granted('c', 1n);
    };
    await online('a_device_with_a_long_name');
    expect(asked).toMatchObject([
      {
        deviceId: 'a_device_with_a_long_name',
        protocol: Protocol.MQTT,
        source: '127.0.0.1',
        proof: {
          kind: {
            case: 'digest',
            // The vendor's own worked example: secret 12345678 in the hour 2025041401.
            value: {
              signType: 0,
              timestamp: '2025041401',
              password: 'c75150e6cb841417396819e4d2ee4358a416344a03a083e3a8567074ddec820a',
            },
          },
        },
      },
    ]);
  });

  test('mosquitto_pub gets in', async () => {
    const topic = '$oc/devices/mosquitto_device_of_a_long_name/sys/properties/report';
    const said = await mosquitto('mosquitto_device_of_a_long_name', '-q', '1', '-t', topic, '-m', '{}');
    expect(said).toEqual({ code: 0, said: '' });
  });

  test.each([
    ['a wrong password', DenyReason.SECRET_MISMATCH, { mqtt3: 4, mqtt5: 0x86 }],
    ['an unknown device', DenyReason.UNKNOWN_DEVICE, { mqtt3: 4, mqtt5: 0x86 }],
    ['a frozen device', DenyReason.FROZEN, { mqtt3: 5, mqtt5: 0x87 }],
    ['too many attempts', DenyReason.THROTTLED, { mqtt3: 3, mqtt5: 0x97 }],
  ] as const)('%s is answered with its code, to mqtt.js and to mosquitto_pub', async (_, reason, codes) => {
    links.bench.table.answer = () => denied(reason);
    expect(await knock('d')).toBe(codes[column]);
    expect(await mosquitto('d', '-t', 't', '-m', '{}')).toMatchObject({ code: codes[column] });
  });

  test.each([
    ['a malformed client id', { clientId: 'd_0_1' }, { mqtt3: 2, mqtt5: 0x85 }],
    ['a keepalive of 10 s', { keepalive: 10 }, { mqtt3: 2, mqtt5: 0x82 }],
    ['a keepalive of 29 s', { keepalive: 29 }, { mqtt3: 2, mqtt5: 0x82 }],
    ['no keepalive', { keepalive: 0 }, { mqtt3: 2, mqtt5: 0x82 }],
    ['a keepalive of 1201 s', { keepalive: 1201 }, { mqtt3: 2, mqtt5: 0x82 }],
    ['another user name', { username: 'e' }, { mqtt3: 4, mqtt5: 0x86 }],
    ['no password', { password: '' }, { mqtt3: 4, mqtt5: 0x86 }],
  ] as const)('%s is refused before anybody is asked', async (_, more, codes) => {
    let asked = 0;
    links.bench.table.answer = () => {
      asked++;
      return granted('c', 1n);
    };
    expect(await knock('d', more)).toBe(codes[column]);
    expect(asked).toBe(0);
  });

  test.each([30, 1200])('a keepalive of %i s is within the bounds', async (keepalive) => {
    const client = await dialIn(links.bench.mqtt, { ...login('d'), ...speak, keepalive });
    links.after(() => client.endAsync(true));
  });

  test.each([
    [
      'an error',
      () => {
        throw new Error('no store');
      },
    ],
    ['silence', () => new Promise<never>(() => undefined)],
  ] as const)('no decision because of %s is "unavailable"', async (_, answer) => {
    links.bench.table.answer = answer;
    expect(await knock('d')).toBe({ mqtt3: 3, mqtt5: 0x88 }[column]);
  });

  test('the new link wins, once it is granted, under another client id as well', async () => {
    const first = await online('d');
    const firstClosed = farewell(first);
    links.bench.table.answer = () => denied(DenyReason.SECRET_MISMATCH);
    expect(await knock('d')).toBe({ mqtt3: 4, mqtt5: 0x86 }[column]);
    expect(first.connected).toBe(true);

    links.bench.table.answer = () => granted('c', 1n);
    const { password, username } = login('d');
    const another = { clientId: 'd_0_1_2025041402', username, password, ...speak };
    const second = await dialIn(links.bench.mqtt, another);
    links.after(() => second.endAsync(true));
    expect(await firstClosed).toBe({ mqtt3: undefined, mqtt5: 0x8e }[column]);
    const secondClosed = closed(second);
    const third = await online('d');
    await secondClosed;
    await third.publishAsync('$oc/devices/d/up', 'x', { qos: 1 });
    expect(await links.openSessions()).toBe(1);
  });

  test('of fifty links of one device at once, one stays', async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 50 }, () => knock('d')));
    const clients = outcomes.flatMap((each) =>
      each.status === 'fulfilled' && typeof each.value === 'object' ? [each.value] : [],
    );
    links.after(() => Promise.all(clients.map((client) => client.endAsync(true))));
    await until(() => clients.filter(({ connected }) => connected).length === 1);
    expect(await links.openSessions()).toBe(1);
  });

  test.each([
    ['freeze', { kind: ChangeKind.FROZEN, effect: SessionEffect.CLOSE_DEVICE }],
    ['delete', { kind: ChangeKind.DELETED, effect: SessionEffect.CLOSE_DEVICE }],
    ['reset with force_disconnect', { kind: ChangeKind.RESET, effect: SessionEffect.CLOSE_DEVICE }],
    ['retirement', { kind: ChangeKind.RETIRED, effect: SessionEffect.CLOSE_CREDENTIAL, byCredential: true }],
  ] as const)('a %s closes the link and no other', async (_, { kind, effect, ...more }) => {
    const [deviceId, otherId] = [links.device(), links.device()];
    const [client, other] = [await online(deviceId), await online(otherId)];
    const ended = farewell(client);
    const credentialId = 'byCredential' in more ? `${deviceId}-1` : '';
    links.bench.table.change({ deviceId, revision: 2n, kind, effect, credentialId });
    expect(await ended).toBe({ mqtt3: undefined, mqtt5: 0x98 }[column]);
    await other.publishAsync(`$oc/devices/${otherId}/up`, 'x', { qos: 1 });
  });

  test('a plain reset keeps the link, and publishing works on', async () => {
    const [deviceId, witnessId] = [links.device(), links.device()];
    const client = await online(deviceId);
    const witnessed = closed(await online(witnessId));
    links.bench.table.change({ deviceId, revision: 2n, kind: ChangeKind.RESET, effect: SessionEffect.KEEP });
    links.bench.table.change({ deviceId: witnessId, revision: 2n, effect: SessionEffect.CLOSE_DEVICE });
    await witnessed; // so the reset before it has been taken in
    await client.publishAsync(`$oc/devices/${deviceId}/up`, 'x', { qos: 1 });
    expect(client.connected).toBe(true);
  });

  test('a change that comes between verdict and CONNACK keeps the device out', async () => {
    const deviceId = links.device();
    const asked = Promise.withResolvers<void>();
    const verdict = Promise.withResolvers<ReturnType<typeof granted>>();
    links.bench.table.answer = () => {
      asked.resolve();
      return verdict.promise;
    };
    const outcome = knock(deviceId);
    await asked.promise;
    links.bench.table.change({ deviceId, revision: 9n, kind: ChangeKind.FROZEN, effect: SessionEffect.CLOSE_DEVICE });
    verdict.resolve(granted('late-1', 8n));
    expect(await outcome).toBe({ mqtt3: 3, mqtt5: 0x88 }[column]);
    expect(await links.openSessions()).toBe(0);
  });

  test('a grant that ends by itself ends the link', async () => {
    const expiresAt = { seconds: BigInt(Math.ceil(Date.now() / 1000)) + 1n, nanos: 0 };
    links.bench.table.answer = () => ({
      decision: { case: 'granted', value: { credentialId: 'c', revision: 1n, expiresAt } },
    });
    expect(await farewell(await online('d'))).toBe({ mqtt3: undefined, mqtt5: 0xa0 }[column]);
  });

  test('a device that goes away while it is decided on leaves nothing', async () => {
    const verdicts: (() => void)[] = [];
    links.bench.table.answer = () =>
      new Promise((resolve) => {
        verdicts.push(() => resolve(granted('c', 1n)));
      });
    const overtaken = () => links.figure('latchkey_gateway_decisions_total{outcome="NONE",reason="OVERTAKEN"');
    const grants = () => links.figure('latchkey_gateway_decisions_total{outcome="GRANTED"');
    const [grantsBefore, overtakenBefore] = [await grants(), await overtaken()];
    const leaver = connect({
      host: '127.0.0.1',
      port: links.bench.mqtt,
      reconnectPeriod: 0,
      ...login('leaver'),
      ...speak,
    });
    await until(() => verdicts.length === 1);
    leaver.stream.destroy();
    for (const verdict of verdicts) verdict();
    await until(async () => (await overtaken()) === overtakenBefore + 1);
    expect(await grants()).toBe(grantsBefore);
    expect(await links.openSessions()).toBe(0);
  });

  test('no secret is logged', async () => {
    await online('d');
    await knock('d', { clientId: 'malformed' });
    expect(links.bench.logged.length).toBeGreaterThan(0);
    expect(links.bench.logged.join('')).not.toContain(login('d').password);
  });
});

test('a refused login that comes again in MQTT 3.1, as the Go SDK has it, is decided on and answered again', async () => {
  const asked: string[] = [];
  links.bench.table.answer = ({ deviceId }) => {
    asked.push(deviceId);
    return denied(DenyReason.SECRET_MISMATCH);
  };
  for (const { speak } of [VERSIONS[1], VERSIONS[0]]) {
    expect(await dial(links.bench.mqtt, { ...login('d'), ...speak })).toBe(4);
  }
  expect(asked).toEqual(['d', 'd']);
});
