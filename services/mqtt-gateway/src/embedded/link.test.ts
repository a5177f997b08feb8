import { Duplex } from 'node:stream';
import { createLog } from '@latchkey/runtime';
import { generate, type Packet, parser } from 'mqtt-packet';
import { beforeEach, expect, test } from 'vitest';
import { until } from '../test-bench.ts';
import { connectPacket } from '../test-links.ts';
import { Link, type LinkOptions, type Verdict } from './link.ts';

const OPEN: Verdict = {
  outcome: 'OPEN',
  rights: { mayPublish: () => true, maySubscribe: () => true },
  opened: () => undefined,
};

let logged: string[];
let sent: Buffer[];
let take: (() => void) | undefined;

beforeEach(() => {
  [logged, sent, take] = [[], [], undefined];
});

/** The near end of a connection: what is written to it is taken when `taking` says so. */
function connection(taking: boolean): Duplex {
  return new Duplex({
    read: () => undefined,
    writableHighWaterMark: 64,
    write: (chunk, _, done) => {
      sent.push(chunk);
      take = done;
      if (taking) done();
    },
  });
}

function link(stream: Duplex, more: Partial<LinkOptions> = {}): Link {
  const log = createLog({ service: 'test', level: 'debug', to: { write: (line) => void logged.push(line) } });
  return new Link({
    stream,
    decide: async () => OPEN,
    publish: () => undefined,
    refused: () => undefined,
    dropped: () => undefined,
    ...{ connectMs: 10_000, pace: undefined, monotonic: () => 0, log, ...more },
  });
}

function bytes(...packets: readonly Packet[]): Buffer {
  return Buffer.concat(packets.map((packet) => generate(packet)));
}

/** The commands of what was sent so far. */
function said(): string[] {
  const commands: string[] = [];
  const reader = parser();
  reader.on('packet', ({ cmd }) => commands.push(cmd));
  for (const chunk of sent) reader.parse(chunk);
  return commands;
}

test('while its answers are not taken it is not read from', async () => {
  const stream = connection(false);
  link(stream);
  stream.push(bytes(connectPacket('d', 4)));
  await until(() => sent.length === 1);
  stream.push(Buffer.alloc(200, Buffer.from([0xc0, 0x00])));
  await until(() => stream.isPaused());
  stream.push(Buffer.alloc(200, Buffer.from([0xc0, 0x00])));
  const waiting = stream.writableLength;
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(stream.writableLength).toBe(waiting);
  while (said().length < 201) {
    take?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(said().slice(0, 2)).toEqual(['connack', 'pingresp']);
});

test('while it is decided on, no more than 64 KiB are read', async () => {
  const stream = connection(true);
  link(stream, { decide: () => new Promise(() => undefined) });
  stream.push(bytes(connectPacket('d', 4)));
  stream.push(Buffer.concat([Buffer.from([0x30, 0xff, 0xff, 0x3f]), Buffer.alloc(65_536)]));
  await until(() => stream.isPaused());
  expect(sent).toEqual([]);
  expect(stream.destroyed).toBe(false);
});

test('an error that nobody foresaw ends that link and is logged', async () => {
  const stream = connection(true);
  const failing = link(stream, {
    publish: () => {
      throw new Error('unforeseen');
    },
  });
  stream.push(bytes(connectPacket('d', 4)));
  await until(() => said().includes('connack'));
  stream.push(bytes({ cmd: 'publish', topic: 't', payload: 'x', qos: 0, dup: false, retain: false }));
  await until(() => stream.destroyed);
  expect(failing.isOpen).toBe(false);
  expect(logged.join('')).toContain('unforeseen');
});

test('a verdict that comes after the end changes nothing', async () => {
  const stream = connection(true);
  const verdict = Promise.withResolvers<Verdict>();
  let opened = 0;
  const ended = link(stream, { decide: () => verdict.promise });
  stream.push(bytes(connectPacket('d', 4)));
  await until(() => stream.readableLength === 0);
  ended.end(0x8b);
  verdict.resolve({ ...OPEN, opened: () => void opened++ });
  await until(() => stream.destroyed);
  expect([opened, said()]).toEqual([0, []]);
});

test('the end of a link that is not read is cut after a second', async () => {
  const stream = connection(false);
  const one = link(stream);
  stream.push(bytes(connectPacket('d', 4)));
  await until(() => sent.length === 1);
  one.end(0x98);
  expect([one.isOpen, stream.destroyed]).toEqual([false, false]);
  await until(() => stream.destroyed);
});

test('silence of one and a half times the keepalive ends it', async () => {
  const stream = connection(true);
  link(stream);
  stream.push(bytes({ ...connectPacket('d', 4), keepalive: 1 }));
  await until(() => said().includes('connack'));
  await until(() => stream.destroyed || stream.writableEnded);
  expect(said()).toEqual(['connack']);
});

test('more messages than its pace allows wait for the next second', async () => {
  const stream = connection(true);
  const published: string[] = [];
  let nowMs = 0;
  link(stream, {
    pace: { messages: 2, bytes: 10_000 },
    monotonic: () => nowMs,
    publish: ({ payload }) => void published.push(String(payload)),
  });
  const message = (payload: string) =>
    bytes({ cmd: 'publish', topic: 't', payload, qos: 0, dup: false, retain: false });
  stream.push(bytes(connectPacket('d', 4)));
  await until(() => said().includes('connack'));
  for (const payload of ['1', '2', '3']) stream.push(message(payload));
  await until(() => stream.isPaused());
  nowMs = 1_000;
  stream.push(message('4'));
  expect(published).toEqual(['1', '2', '3']);
  await until(() => published.length === 4);
  stream.push(Buffer.concat([Buffer.from([0x30, 0xff, 0xff, 0x3f]), Buffer.alloc(10_000)]));
  await until(() => stream.isPaused());
});
