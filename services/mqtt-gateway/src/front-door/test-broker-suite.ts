import { ChangeKind, SessionEffect } from '@latchkey/protocol/v1';
import { connect, connectAsync, type IClientOptions, MqttClient } from 'mqtt';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Bench, closed, dial, dialIn, login, mosquittoPub, startBench, until } from '../test-bench.ts';
import { BACKEND_PASSWORD, GATEWAY_PASSWORD, type TestBroker } from './test-brokers.ts';

/** A version of MQTT in the words of mqtt.js and of mosquitto_pub. */
export type SpokenVersion = { readonly options: IClientOptions; readonly flag: string };

/** The versions. */
export const MQTT31: SpokenVersion = { options: { protocolVersion: 3, protocolId: 'MQIsdp' }, flag: 'mqttv31' };
export const MQTT311: SpokenVersion = { options: { protocolVersion: 4 }, flag: 'mqttv311' };
export const MQTT5: SpokenVersion = { options: { protocolVersion: 5 }, flag: 'mqttv5' };

const START_DEADLINE_MS = 180_000;

/** For a test of the suite: a broker, its clients and two gateways share a busy machine. */
export const TIMEOUT_MS = 20_000;

/** The versions that a broker speaks, and those that it does not. */
export type Languages = { readonly speaks: readonly SpokenVersion[]; readonly not?: readonly SpokenVersion[] };

/** What holds for devices behind two gateways in front of one real broker. */
export function brokerSuite(startBroker: () => Promise<TestBroker>, { speaks, not = [] }: Languages): void {
  let broker: TestBroker;
  let gateways: readonly [Bench, Bench];
  let named = 0;
  const ends: (() => unknown)[] = [];

  beforeAll(async () => {
    broker = await startBroker();
    const { upstream } = broker;
    gateways = [await startBench({ upstream }), await startBench({ upstream })];
  }, START_DEADLINE_MS);
  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
  });
  afterAll(async () => {
    for (const gateway of gateways) await gateway.stop();
    await broker.remove();
  });

  const deviceId = () => `suite-device_of_a_long_name_${++named}`;
  const online = async (device: string, options: IClientOptions, gateway = gateways[0]) => {
    const client = await dialIn(gateway.mqtt, { ...login(device), ...options });
    ends.push(() => client.endAsync(true));
    return client;
  };
  /** An application that hears all devices. */
  const backend = async () => {
    const { port, tls } = broker;
    const client = await connectAsync({
      ...{ host: 'localhost', port, protocol: tls === undefined ? 'mqtt' : 'mqtts', ...tls, protocolVersion: 4 },
      ...{ clientId: `backend-${++named}`, username: 'backend', password: BACKEND_PASSWORD, reconnectPeriod: 0 },
    });
    ends.push(() => client.endAsync(true));
    const heard = listen(client);
    await client.subscribeAsync('$oc/devices/+/#', { qos: 1 });
    return { client, heard };
  };

  test.each(speaks)('$flag: reports go up and commands come down', async ({ options }) => {
    const device = deviceId();
    const { client: application, heard } = await backend();
    const client = await online(device, options);
    const commands = listen(client);
    await client.subscribeAsync(`$oc/devices/${device}/sys/commands/#`, { qos: 1 });
    await client.publishAsync(`$oc/devices/${device}/sys/messages/up`, 'report', { qos: 1 });
    await until(() => heard.includes(`$oc/devices/${device}/sys/messages/up report`));
    await application.publishAsync(`$oc/devices/${device}/sys/commands/request_id=1`, 'command', { qos: 1 });
    await until(() => commands.includes(`$oc/devices/${device}/sys/commands/request_id=1 command`));
  });

  test.each(speaks)('$flag: WebSocket goes in and plain MQTT comes out', async ({ options }) => {
    const device = deviceId();
    const { heard } = await backend();
    const overWebSocket = { ...login(device), ...options, protocol: 'ws', path: '/mqtt' } as const;
    const client = await dialIn(gateways[0].portOf('ws'), overWebSocket);
    ends.push(() => client.endAsync(true));
    await client.publishAsync(`$oc/devices/${device}/sys/messages/up`, 'report', { qos: 1 });
    await until(() => heard.includes(`$oc/devices/${device}/sys/messages/up report`));
    const ended = closed(client);
    const { table } = gateways[0];
    table.change({ deviceId: device, revision: 2n, kind: ChangeKind.FROZEN, effect: SessionEffect.CLOSE_DEVICE });
    await ended;
  });

  test.each(speaks)('$flag: mosquitto_pub gets through', async ({ flag }) => {
    const { clientId, username, password } = login(deviceId());
    const who = ['-p', String(gateways[0].mqtt), '-V', flag, '-i', clientId, '-u', username, '-P', password];
    const what = ['-q', '1', '-t', `$oc/devices/${username}/sys/properties/report`, '-m', '{}'];
    expect(await mosquittoPub([...who, ...what])).toEqual({ code: 0, said: '' });
  });

  test.each(speaks)('$flag: a device neither writes nor reads another one’s topics', async ({ options }) => {
    const victim = deviceId();
    const { client: application, heard } = await backend();
    const stolen: string[] = [];
    for (const filter of [`$oc/devices/${victim}/#`, '$oc/devices/+/#', '#']) {
      const reader = await online(deviceId(), options);
      reader.on('message', (topic) => stolen.push(topic));
      // Some brokers answer and send nothing, others close the link.
      await Promise.race([reader.subscribeAsync(filter, { qos: 1 }), closed(reader)]);
    }
    const writer = await online(deviceId(), options);
    writer.publish(`$oc/devices/${victim}/sys/messages/up`, 'forged', { qos: 1 }, () => undefined);
    const own = await online(victim, options);
    const commands = listen(own);
    await own.subscribeAsync(`$oc/devices/${victim}/down`, { qos: 1 });
    await application.publishAsync(`$oc/devices/${victim}/down`, 'secret', { qos: 1 });
    await until(() => commands.length > 0);
    await own.publishAsync(`$oc/devices/${victim}/sys/messages/up`, 'genuine', { qos: 1 });
    await until(() => heard.includes(`$oc/devices/${victim}/sys/messages/up genuine`));
    expect(stolen).toEqual([]);
    expect(heard.filter((message) => message.includes('forged'))).toEqual([]);
  });

  test.each(speaks)('$flag: the new link wins, through another gateway and under another hour', async ({ options }) => {
    const device = deviceId();
    const first = await online(device, options);
    const replaced = closed(first);
    const second = await online(device, { ...options, clientId: `${device}_0_0_2025041402` }, gateways[1]);
    await replaced;
    await second.publishAsync(`$oc/devices/${device}/up`, 'x', { qos: 1 });
    expect(second.connected).toBe(true);
  });

  test.each(speaks)('$flag: a freeze ends the link, and the broker tells the device’s will', async ({ options }) => {
    const device = deviceId();
    const { heard } = await backend();
    const will = { topic: `$oc/devices/${device}/gone`, payload: Buffer.from('gone'), qos: 1, retain: false } as const;
    const ended = closed(await online(device, { ...options, will }));
    const { table } = gateways[0];
    table.change({ deviceId: device, revision: 2n, kind: ChangeKind.FROZEN, effect: SessionEffect.CLOSE_DEVICE });
    await ended;
    await until(() => heard.includes(`$oc/devices/${device}/gone gone`));
  });

  test.each(speaks)('$flag: a will on another one’s topic is not told', async ({ options }) => {
    const [victim, device, witness] = [deviceId(), deviceId(), deviceId()];
    const { heard } = await backend();
    const willOn = (id: string) =>
      ({ topic: `$oc/devices/${id}/gone`, payload: Buffer.from('gone'), qos: 1, retain: false }) as const;
    const [liar, honest] = [
      await dial(gateways[0].mqtt, { ...login(device), ...options, will: willOn(victim) }),
      await online(witness, { ...options, will: willOn(witness) }),
    ];
    if (typeof liar !== 'number') liar.stream.destroy();
    await new Promise((resolve) => setTimeout(resolve, 200));
    honest.stream.destroy();
    await until(() => heard.includes(`$oc/devices/${witness}/gone gone`));
    expect(heard.filter((message) => message.includes(victim))).toEqual([]);
  });

  test.each(not)(
    '$flag: what the broker does not speak is refused, and not as a wrong password',
    async ({ options }) => {
      const [unsupported, unavailable] = [0x84, 0x88];
      const code = await dial(gateways[0].mqtt, { ...login(deviceId()), ...options });
      expect([unsupported, unavailable]).toContain(code);
    },
  );

  test('a session outlives its link, though the client id changes with the hour', async () => {
    const device = deviceId();
    const lasting = { protocolVersion: 4, clean: false } as const;
    const first = await online(device, lasting);
    await first.subscribeAsync(`$oc/devices/${device}/down`, { qos: 1 });
    await first.endAsync();
    const { client: application } = await backend();
    await application.publishAsync(`$oc/devices/${device}/down`, 'while you were away', { qos: 1 });
    // Listens before it connects: what waited comes right behind CONNACK.
    const second = connect({
      ...{ host: '127.0.0.1', port: gateways[1].mqtt, reconnectPeriod: 0, ...lasting },
      ...{ ...login(device), clientId: `${device}_0_0_2025041402` },
    });
    ends.push(() => second.endAsync(true));
    const heard = listen(second);
    await until(() => heard.includes(`$oc/devices/${device}/down while you were away`));
  });

  test('the broker takes nobody past the gateway', async () => {
    const past = async (options: IClientOptions) => {
      const met = await dial(broker.port, { ...login(deviceId()), ...options }).catch(() => 'closed');
      if (met instanceof MqttClient) ends.push(() => met.endAsync(true));
      return met;
    };
    const tls = overTls(broker);
    const asGateway = { username: 'latchkey', password: GATEWAY_PASSWORD };
    const through = await past({ ...tls, ...asGateway }); // so the others fail for what they lack
    expect(through).toBeInstanceOf(MqttClient);
    const [noLogin, wrong] = [
      { username: '', password: '' },
      { ...asGateway, password: 'guessed' },
    ];
    for (const attempt of [tls, { ...tls, ...noLogin }, { ...tls, ...wrong }, ...lessThanTls(broker, asGateway)]) {
      expect(await past(attempt)).not.toBeInstanceOf(MqttClient);
    }
  });

  test(
    'while the broker is away devices hear 3, and when it is back they get in',
    async () => {
      const device = deviceId();
      const ended = closed(await online(device, MQTT311.options));
      await broker.stop();
      await ended;
      expect(await dial(gateways[0].mqtt, login(device))).toBe(3);
      await broker.start();
      await until(async () => typeof (await dial(gateways[0].mqtt, login(device))) === 'object');
    },
    START_DEADLINE_MS,
  );
}

/** The right login, without the certificate and without TLS at all, where the broker asks for both. */
function lessThanTls({ tls }: TestBroker, asGateway: IClientOptions): IClientOptions[] {
  if (tls === undefined) return [];
  return [{ ...asGateway, protocol: 'mqtts', host: 'localhost', ca: tls.ca }, asGateway];
}

function overTls({ tls }: TestBroker): IClientOptions {
  return tls === undefined ? {} : { protocol: 'mqtts', host: 'localhost', ...tls };
}

function listen(client: MqttClient): string[] {
  const heard: string[] = [];
  client.on('message', (topic, payload) => heard.push(`${topic} ${payload}`));
  return heard;
}
