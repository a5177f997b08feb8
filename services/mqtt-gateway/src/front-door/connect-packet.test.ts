import fc from 'fast-check';
import { generate, type IConnectPacket, parser } from 'mqtt-packet';
import { expect, test } from 'vitest';
import type { Version } from '../embedded/codec.ts';
import { type ConnectReading, readConnect, rewriteConnect } from './connect-packet.ts';

const PROTOCOLS = [
  { version: 3, protocolId: 'MQIsdp' },
  { version: 4, protocolId: 'MQTT' },
  { version: 5, protocolId: 'MQTT' },
] as const;

const LOGIN = { clientId: 'dev-1', username: 'dev-1', password: 'of the gateway' };

/** What mqtt-packet, another implementation, reads. */
function reread(bytes: Buffer): unknown {
  let packet: unknown;
  parser()
    .on('packet', (read) => {
      packet = read;
    })
    .on('error', (error) => {
      packet = error;
    })
    .parse(bytes);
  return packet;
}

function connectOf(reading: ConnectReading) {
  if (reading.outcome !== 'CONNECT') throw new Error(reading.outcome);
  return reading.connect;
}

const text = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((each) => !each.includes('\0'));
const filled = text.filter((each) => each.length > 0);
const bytes = fc.uint8Array({ maxLength: 40 }).map((each) => Buffer.from(each));
const will = fc.record({
  topic: filled,
  payload: bytes,
  qos: fc.constantFrom(0, 1, 2),
  retain: fc.boolean(),
});
const willProperties = fc.record(
  {
    willDelayInterval: fc.nat(1000),
    contentType: text,
    correlationData: bytes,
    userProperties: fc.constant({ a: 'b' }),
  },
  { requiredKeys: [] },
);
const properties = fc.record(
  {
    sessionExpiryInterval: fc.nat(0xffff_ffff),
    receiveMaximum: fc.integer({ min: 1, max: 65_535 }),
    maximumPacketSize: fc.integer({ min: 1, max: 0xffff_ffff }),
    topicAliasMaximum: fc.nat(65_535),
    requestResponseInformation: fc.boolean(),
    requestProblemInformation: fc.boolean(),
    userProperties: fc.dictionary(filled, filled, { minKeys: 1, maxKeys: 3, noNullPrototype: true }),
  },
  { requiredKeys: [] },
);

/** Any CONNECT that MQTT allows, in the terms of mqtt-packet. */
const connects = fc
  .record({
    protocol: fc.constantFrom(...PROTOCOLS),
    clean: fc.boolean(),
    keepalive: fc.nat(65_535),
    clientId: filled,
    username: fc.option(filled, { nil: undefined }),
    password: fc.option(
      bytes.filter(({ length }) => length > 0),
      { nil: undefined },
    ),
    will: fc.option(will, { nil: undefined }),
    willProperties,
    properties,
  })
  .map(({ protocol, will: itsWill, ...rest }): IConnectPacket => {
    const { willProperties: ofWill, properties: ofConnect, username, password, ...connect } = rest;
    const five = protocol.version === 5;
    const sent = itsWill && { ...itsWill, ...(five && { properties: ofWill }) };
    return {
      cmd: 'connect',
      protocolId: protocol.protocolId,
      protocolVersion: protocol.version,
      ...connect,
      ...(five && { properties: ofConnect }),
      ...(sent && { will: sent as NonNullable<IConnectPacket['will']> }),
      ...(username !== undefined && { username }),
      ...(password !== undefined && username !== undefined && { password }), // mqtt-packet knows no other way
    };
  });

test('whatever MQTT allows is read, and goes on under another login and otherwise as it was', () => {
  fc.assert(
    fc.property(connects, fc.option(fc.constant('of the gateway'), { nil: undefined }), (packet, password) => {
      const original = generate(packet);
      const connect = connectOf(readConnect(original));
      expect(connect).toMatchObject({
        version: packet.protocolVersion,
        keepaliveS: packet.keepalive,
        clientId: packet.clientId,
        enhanced: false,
        username: packet.username,
        password: packet.password,
      });
      const { username: _, password: __, ...kept } = reread(original) as IConnectPacket;
      const upstream = reread(rewriteConnect(connect, { ...LOGIN, password })) as IConnectPacket;
      const { username, password: sent, ...others } = upstream;
      expect({ username, password: sent?.toString() }).toEqual({ username: 'dev-1', password });
      const length = expect.any(Number);
      expect({ ...others, length }).toEqual({ ...kept, clientId: 'dev-1', length });
    }),
    { seed: 1, numRuns: 500 },
  );
});

test('what is made of a CONNECT that was tampered with carries the login of the gateway', () => {
  const mutation = fc.record({ at: fc.nat(200), byte: fc.nat(255), cut: fc.option(fc.nat(200), { nil: undefined }) });
  fc.assert(
    fc.property(connects, fc.array(mutation, { minLength: 1, maxLength: 3 }), (packet, mutations) => {
      let tampered = Buffer.from(generate(packet));
      for (const { at, byte, cut } of mutations) {
        tampered[at % tampered.length] = byte;
        tampered = tampered.subarray(0, Math.max(1, cut ?? tampered.length));
      }
      const reading = readConnect(tampered);
      const sent = reading.outcome === 'CONNECT' ? [rewriteConnect(reading.connect, LOGIN)] : [];
      for (const upstream of sent) {
        const again = connectOf(readConnect(upstream));
        expect(again).toMatchObject({ ...LOGIN, password: Buffer.from(LOGIN.password), will: connectOf(reading).will });
      }
    }),
    { seed: 2, numRuns: 3000 },
  );
});

/** CONNECT of 3.1.1 from its parts, right or wrong. */
function raw(version: Version | number, flags: number, ...fields: readonly (Buffer | string)[]): Buffer {
  const lengthened = (data: Buffer | string) => {
    const body = Buffer.from(data);
    return Buffer.concat([Buffer.from([body.length >> 8, body.length & 0xff]), body]);
  };
  const properties = version === 5 ? [Buffer.from([0])] : [];
  const head = Buffer.concat([lengthened(version === 3 ? 'MQIsdp' : 'MQTT'), Buffer.from([version, flags, 0, 60])]);
  const body = Buffer.concat([head, ...properties, ...fields.map(lengthened)]);
  return Buffer.concat([Buffer.from([0x10, body.length]), body]);
}

const withProperties = (...bytesOf: readonly number[]) => {
  const packet = raw(5, 0x02, 'd');
  const grown = Buffer.concat([packet.subarray(0, 12), Buffer.from([bytesOf.length, ...bytesOf]), packet.subarray(13)]);
  grown[1] = grown.length - 2;
  return grown;
};

test('the samples of the next test are right but for what they are made wrong in', () => {
  expect(readConnect(raw(4, 0xc2, 'd', 'u', 'p')).outcome).toBe('CONNECT');
  expect(readConnect(raw(5, 0x42, 'd', 'p')).outcome).toBe('CONNECT');
  expect(readConnect(withProperties(0x21, 0, 1)).outcome).toBe('CONNECT');
});

test.each([
  ['the reserved flag', raw(4, 0x03, 'd')],
  ['a will that is not there, with QoS', raw(4, 0x0a, 'd')],
  ['a will that is not there, retained', raw(4, 0x22, 'd')],
  ['a will of QoS 3', raw(4, 0x1e, 'd', 't', 'm')],
  ['a password without a user name before MQTT 5', raw(4, 0x42, 'd', 'p')],
  ['a field that is missing', raw(4, 0xc2, 'd', 'u')],
  ['a field too many', raw(4, 0x82, 'd', 'u', 'p')],
  ['a client id that is not UTF-8', raw(4, 0x02, Buffer.from([0xc3, 0x28]))],
  ['a client id with a null character', raw(4, 0x02, 'd\0')],
  ['a user name with a surrogate', raw(4, 0x82, 'd', Buffer.from([0xed, 0xa0, 0x80]))],
  ['another protocol', Buffer.from(raw(4, 0x02, 'd').toString('latin1').replace('MQTT', 'AMQP'), 'latin1')],
  ['a property of another packet', withProperties(0x23, 0, 1)],
  ['a property that is cut off', withProperties(0x21, 0)],
  ['a length with idle bytes', withProperties(0xa1, 0x00, 0, 1)],
  ['nothing', Buffer.alloc(0)],
  ['another packet', Buffer.from([0x30, 0])],
])('%s is malformed', (_, packet) => {
  expect(readConnect(packet)).toEqual({ outcome: 'MALFORMED' });
});

test('a packet length with idle bytes is read before MQTT 5 forbade it', () => {
  const packet = raw(4, 0x02, 'd');
  const idle = Buffer.concat([packet.subarray(0, 1), Buffer.from([(packet[1] ?? 0) | 0x80, 0]), packet.subarray(2)]);
  expect(readConnect(idle)).toEqual(readConnect(packet));
  expect(readConnect(idle).outcome).toBe('CONNECT');
});

test.each([raw(6, 0x02, 'd'), raw(0x84, 0x02, 'd'), raw(3, 0x02, 'd').fill(4, 10, 11)])(
  'a level that is not spoken under its name is no matter of the rest',
  (packet) => {
    expect(readConnect(packet)).toEqual({ outcome: 'VERSION' });
  },
);

test.each([
  ['a method', [0x15, 0, 1, 0x61]],
  ['data', [0x16, 0, 1, 0x61]],
])('%s of authentication is seen', (_, property) => {
  expect(connectOf(readConnect(withProperties(...property))).enhanced).toBe(true);
});
