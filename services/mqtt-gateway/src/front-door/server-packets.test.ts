import { expect, test } from 'vitest';
import { codeOfConnack, refusingConnack, serverDisconnect } from './server-packets.ts';

test('a refusal is said in the words of the version', () => {
  const answer = { mqtt3: 3, mqtt5: 0x88 } as const;
  expect([...refusingConnack(3, answer)]).toEqual([0x20, 2, 0, 3]);
  expect([...refusingConnack(4, answer)]).toEqual([0x20, 2, 0, 3]);
  expect([...refusingConnack(5, answer)]).toEqual([0x20, 3, 0, 0x88, 0]);
});

test('DISCONNECT carries its reason', () => {
  expect([...serverDisconnect(0x98)]).toEqual([0xe0, 2, 0x98, 0]);
});

test.each([
  ['success of MQTT 3.1.1', [0x20, 2, 1, 0], 4, 0],
  ['success of MQTT 5', [0x20, 3, 0, 0, 0], 5, 0],
  ['success of MQTT 5 with properties', [0x20, 6, 0, 0, 3, 0x21, 0, 9], 5, 0],
  ['success of MQTT 3.1.1 to MQTT 5', [0x20, 2, 0, 0], 5, undefined],
  ['success of MQTT 5 to MQTT 3.1.1', [0x20, 3, 0, 0, 0], 4, undefined],
  ['a refusal of MQTT 3.1.1 to MQTT 5', [0x20, 2, 0, 1], 5, 1],
  ['a refusal of MQTT 5', [0x20, 3, 0, 0x87, 0], 5, 0x87],
  ['half a CONNACK', [0x20, 1, 0], 4, undefined],
  ['another packet', [0xd0, 0], 4, undefined],
] as const)('the code of %s', (_, bytes, version, code) => {
  expect(codeOfConnack(Buffer.from(bytes), version)).toBe(code);
});
