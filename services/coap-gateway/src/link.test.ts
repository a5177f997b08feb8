import { setTimeout as pause } from 'node:timers/promises';
import type { Upstream } from '@latchkey/gateway-kit/upstream';
import { createRegistry } from '@latchkey/runtime';
import { afterAll, describe, expect, test } from 'vitest';
import type { Device } from './admit.ts';
import { METHOD, OPTION, RESPONSE } from './coap/codes.ts';
import { textOption, uintOption } from './coap/options.ts';
import { createDownlink } from './downlink.ts';
import { Receivers } from './receivers.ts';
import { until } from './test-bench.ts';
import { closeGateway, granted, linked, log, nameless, sessions } from './test-linked.ts';

const NO_BYTES = Buffer.alloc(0);
afterAll(closeGateway);

test('a registered device is observed at 19/0/0, and its notifications go upstream as messages', async () => {
  const { post, sent, say, upstream, setAway, session } = linked(granted('observed'));
  expect(await post('rd', ['ep=observed'])).toBe(RESPONSE.CREATED);
  await until(() => sent.length === 2);
  const get = sent[1];
  expect(get).toMatchObject({ type: 'CON', code: METHOD.GET });
  expect(get?.options.map(({ value }) => value.toString())).toEqual(['', '19', '0', '0']);
  const notification = {
    code: RESPONSE.CONTENT,
    token: get?.token ?? NO_BYTES,
    options: [uintOption(OPTION.OBSERVE, 5)],
  };
  say({ ...notification, type: 'ACK', id: get?.id ?? 0, payload: Buffer.from('not reported') });
  setAway(true);
  say({ ...notification, id: 900, payload: Buffer.from('one') });
  await pause(50);
  expect(sent).toHaveLength(2);
  setAway(false);
  say({ ...notification, id: 900, payload: Buffer.from('one') });
  await until(() => sent.length === 3);
  expect(sent[2]).toMatchObject({ type: 'ACK', id: 900, code: 0 });
  expect(upstream).toEqual(['$oc/devices/observed/sys/messages/up one']);
  session.close();
  expect(sessions.ofDevice('observed')).toEqual([]);
});

test('a registration ends with its lifetime, or by the device’s word; the session goes on', async () => {
  const receivers = new Receivers();
  const { post, ask, session } = linked(granted('lived'), { receivers });
  expect(await post('rd/lived')).toBe(RESPONSE.NOT_FOUND);
  expect(await post('rd', ['ep=lived', 'lt=60'])).toBe(RESPONSE.CREATED);
  expect(await post('rd/lived', ['lt=0'])).toBe(RESPONSE.BAD_REQUEST);
  expect(receivers.size).toBe(1);
  expect(await post('rd/lived', ['lt=1'])).toBe(RESPONSE.CHANGED);
  await until(() => receivers.size === 0);
  expect(await post('rd/lived')).toBe(RESPONSE.NOT_FOUND);
  expect(await post('rd', ['ep=lived'])).toBe(RESPONSE.CREATED);
  expect(await ask('rd/lived', { code: METHOD.DELETE })).toBe(RESPONSE.DELETED);
  expect(await ask('rd/lived', { code: METHOD.DELETE })).toBe(RESPONSE.NOT_FOUND);
  expect(receivers.size).toBe(0);
  expect(await post('v5/devices/lived/sys/messages/up')).toBe(RESPONSE.CHANGED);
  session.close();
});

describe('what is sent to a device', () => {
  const COMMAND = '$oc/devices/down/sys/commands/request_id=1';

  /** An application, and what it hears. */
  function application() {
    const receivers = new Receivers();
    const heard: string[] = [];
    const publish: Upstream['publish'] = async (topic, payload) => {
      heard.push(`${topic} ${payload}`);
      return 'ACKNOWLEDGED';
    };
    const registry = createRegistry('test');
    const send = createDownlink({ receivers, upstream: () => ({ publish }), registry, log });
    return { receivers, heard, send: (topic: string, text: string) => send(topic, Buffer.from(text)), registry };
  }

  /** The request that the gateway sent last, and the device's answer to it. */
  function answerTo({ sent, say }: ReturnType<typeof linked>, code: number, text = '') {
    const request = sent.at(-1);
    if (request === undefined) throw new Error('nothing was sent');
    say({ type: 'ACK', id: request.id, token: request.token, code, payload: Buffer.from(text) });
    return request;
  }

  async function registered(receivers: Receivers, name = 'down') {
    const link = linked(granted(name), { receivers });
    await link.post('rd', [`ep=${name}`]);
    await until(() => link.sent.length === 2); // it is observed
    return link;
  }

  test('a command is written to 19/1/0, and the device’s answer goes back', async () => {
    const { receivers, heard, send, registry } = application();
    const link = await registered(receivers);
    const answers: readonly (readonly [number, string, string])[] = [
      [RESPONSE.CHANGED, '', '{"result_code":0}'],
      [RESPONSE.CHANGED, '{"result_code":0,"paras":{"level":7}}', '{"result_code":0,"paras":{"level":7}}'],
      [RESPONSE.METHOD_NOT_ALLOWED, 'no', '{"result_code":1,"paras":{"error":"4.05"}}'],
    ];
    for (const [code, text, told] of answers) {
      const count = link.sent.length;
      send(COMMAND, 'turn');
      await until(() => link.sent.length > count);
      const request = answerTo(link, code, text);
      expect(request).toMatchObject({ type: 'CON', code: METHOD.PUT, payload: Buffer.from('turn') });
      expect(request.options.map(({ value }) => value.toString('latin1'))).toEqual(['19', '1', '0', '*']);
      await until(() => heard.length > 0);
      expect(heard.splice(0)).toEqual([`$oc/devices/down/sys/commands/response/request_id=1 ${told}`]);
    }
    expect(await registry.metrics()).toMatch(
      /downlinks_total\{kind="command",outcome="delivered"[^}]*\} 2\n.*outcome="4.05"[^}]*\} 1\n/,
    );
    link.session.close();
  });

  test('a message is written there too, and nothing goes back; each waits for the one before', async () => {
    const { receivers, heard, send } = application();
    const link = await registered(receivers);
    send('$oc/devices/down/sys/messages/down', 'one');
    send('$oc/devices/down/sys/messages/down', 'two');
    await pause(20);
    expect(link.sent.slice(2).map(({ payload }) => payload.toString())).toEqual(['one']);
    answerTo(link, RESPONSE.CHANGED);
    await until(() => link.sent.length === 4);
    expect(answerTo(link, RESPONSE.CHANGED).payload.toString()).toBe('two');
    expect(heard).toEqual([]);
    link.session.close();
  });

  test('goes to no other device, and to one that has not registered or is gone nothing is sent', async () => {
    const { receivers, heard, send } = application();
    const [other, silent] = [await registered(receivers, 'other'), linked(granted('down'), { receivers })];
    const gone = await registered(receivers, 'gone');
    gone.session.close();
    send(COMMAND, 'turn');
    send('$oc/devices/gone/sys/messages/down', 'hello');
    send('$oc/devices/other/sys/properties/report', 'not for a device');
    await pause(50);
    expect([other, silent, gone].map(({ sent }) => sent.length)).toEqual([2, 0, 2]);
    expect(heard).toEqual([]);
    for (const { session } of [other, silent]) session.close();
  });

  test('goes to the session that registered last; the one before is registered no more', async () => {
    const { receivers, send } = application();
    const [before, after] = [await registered(receivers), await registered(receivers)];
    send(COMMAND, 'turn');
    await until(() => after.sent.length === 3);
    expect(before.sent).toHaveLength(2);
    expect(await before.post('rd/down')).toBe(RESPONSE.NOT_FOUND);
    before.session.close();
    expect(receivers.size).toBe(1);
    after.session.close();
    expect(receivers.size).toBe(0);
  });

  test('a kick ends it: what waits is not sent, and nobody speaks for the device', async () => {
    const { receivers, heard, send } = application();
    const link = await registered(receivers);
    for (const text of ['one', 'two']) send(COMMAND, text);
    sessions.close(sessions.ofDevice('down'), 'DEVICE');
    answerTo(link, RESPONSE.CHANGED);
    await pause(20);
    expect(link.sent).toHaveLength(3);
    expect(heard).toEqual([]);
  });

  test('longer than the vendor has it, it is not sent, and a command is answered so', async () => {
    const { receivers, heard, send } = application();
    const link = await registered(receivers);
    send(COMMAND, 'x'.repeat(1_025));
    await until(() => heard.length > 0);
    expect(heard[0]).toContain('{"result_code":1,"paras":{"error":"TOO_LONG"}}');
    send(COMMAND, 'x'.repeat(1_024));
    await until(() => link.sent.length === 3);
    link.session.close();
  });

  test('a plain client is told as an observer, messages alone', async () => {
    const { receivers, heard, send } = application();
    const link = linked(granted('down'), { receivers });
    const observe = (value: number) => ({ code: METHOD.GET, options: [uintOption(OPTION.OBSERVE, value)] });
    expect(await link.ask('v5/devices/other/sys/messages/down', observe(0))).toBe(RESPONSE.FORBIDDEN);
    expect(await link.ask('v5/devices/down/sys/messages/down', { code: METHOD.GET })).toBe(RESPONSE.CONTENT);
    expect(receivers.size).toBe(0);
    expect(await link.ask('v5/devices/down/sys/messages/down', observe(0))).toBe(RESPONSE.CONTENT);
    send('$oc/devices/down/sys/messages/down', 'hello');
    await until(() => link.sent.length === 4);
    expect(link.sent[3]).toMatchObject({ type: 'CON', code: RESPONSE.CONTENT, payload: Buffer.from('hello') });
    link.say({ type: 'ACK', code: 0, id: link.sent[3]?.id ?? 0 });
    send(COMMAND, 'turn');
    await until(() => heard.length > 0);
    expect(heard[0]).toContain('"error":"REFUSED"');
    await link.ask('v5/devices/down/sys/messages/down', observe(1));
    expect(receivers.size).toBe(0);
    link.session.close();
  });

  test('a session that ends while its device is told takes nothing more, were it registered as well', async () => {
    const { receivers, send } = application();
    const link = await registered(receivers);
    const observe = { code: METHOD.GET, options: [uintOption(OPTION.OBSERVE, 0)] };
    await link.ask('v5/devices/down/sys/messages/down', observe);
    send('$oc/devices/down/sys/messages/down', 'hello');
    await until(() => link.sent.length === 4);
    link.session.close();
    await pause(20);
    expect(receivers.size).toBe(0);
  });

  test('an observation that another session of the device took over is over', async () => {
    const { receivers } = application();
    const observe = { code: METHOD.GET, options: [uintOption(OPTION.OBSERVE, 0)] };
    const [before, after] = [linked(granted('down'), { receivers }), linked(granted('down'), { receivers })];
    for (const { ask } of [before, after]) await ask('v5/devices/down/sys/messages/down', observe);
    await before.post('rd', ['ep=down']);
    await until(() => before.sent.length === 3); // it is observed
    await before.ask('rd/down', { code: METHOD.DELETE });
    expect(receivers.size).toBe(0);
    for (const { session } of [before, after]) session.close();
  });
});

test('a kick ends the session, and nothing of it is passed on any more', async () => {
  const { post, say, upstream, isOpen } = linked(granted('kicked'));
  expect(await post('v5/devices/kicked/sys/messages/up', [], 'one')).toBe(RESPONSE.CHANGED);
  sessions.close(sessions.ofDevice('kicked'), 'DEVICE');
  expect(isOpen()).toBe(false);
  say({ options: 'v5/devices/kicked/sys/messages/up'.split('/').map((part) => textOption(OPTION.URI_PATH, part)) });
  await pause(20);
  expect(upstream).toEqual(['$oc/devices/kicked/sys/messages/up one']);
});

test('while the broker is away a report is 5.03', async () => {
  const { post, setAway, session } = linked(granted('away'));
  setAway(true);
  expect(await post('v5/devices/away/sys/messages/up')).toBe(RESPONSE.UNAVAILABLE);
  session.close();
});

test('a client with a certificate is asked about once, by its first request', async () => {
  const asked: string[] = [];
  const { post, session } = linked(nameless, {
    name: async (deviceId) => {
      asked.push(deviceId);
      return { ...granted(deviceId), identity: undefined };
    },
  });
  expect(await post('rd/named')).toBe(RESPONSE.UNAUTHORIZED);
  expect(await post('rd')).toBe(RESPONSE.BAD_REQUEST);
  expect(asked).toEqual([]);
  expect(await post('rd', ['ep=named'])).toBe(RESPONSE.CREATED);
  expect(await post('v5/devices/other/sys/messages/up')).toBe(RESPONSE.FORBIDDEN);
  expect(asked).toEqual(['named']);
  expect(sessions.ofDevice('named')).toMatchObject([{ byCertificate: true }]);
  session.close();
  expect(sessions.ofDevice('named')).toEqual([]);
});

test('it may claim three devices; then its session ends', async () => {
  const { post, isOpen } = linked(nameless);
  for (const name of ['a', 'b']) expect(await post('rd', [`ep=${name}`])).toBe(RESPONSE.UNAUTHORIZED);
  expect(isOpen()).toBe(true);
  expect(await post('rd', ['ep=c'])).toBe(RESPONSE.UNAUTHORIZED);
  expect(isOpen()).toBe(false);
});

test('a client that says too late which device it is, or not at all, loses its session', async () => {
  const { isOpen } = linked(nameless, { namingMs: 50 });
  await until(() => !isOpen());
});

test('a kick that comes while it is asked about keeps it out', async () => {
  const verdict = Promise.withResolvers<Device>();
  const { say, session, upstream } = linked(nameless, { name: () => verdict.promise });
  const report = 'v5/devices/late/sys/messages/up'.split('/').map((part) => textOption(OPTION.URI_PATH, part));
  say({ options: report });
  session.close();
  verdict.resolve(granted('late'));
  await pause(20);
  expect(sessions.ofDevice('late')).toEqual([]);
  expect(upstream).toEqual([]);
});
