import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { openIntake } from './intake.ts';

const RULES = { firstByte: 0x10, maxBytes: 1000 };

function packetOf(bodyBytes: number): Buffer {
  const length = bodyBytes < 128 ? [bodyBytes] : [(bodyBytes % 128) | 0x80, Math.floor(bodyBytes / 128)];
  return Buffer.concat([Buffer.from([0x10, ...length]), Buffer.alloc(bodyBytes, 0xff)]);
}

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? bytes.length;
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

test('the first packet and what is behind it are told apart, however they are cut', async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 4 });
  const bodies = fc.constantFrom(0, 1, 127, 128, 500);
  await fc.assert(
    fc.asyncProperty(bodies, fc.uint8Array({ maxLength: 500 }), sizes, async (body, behind, cuts) => {
      const stream = new PassThrough();
      const intake = openIntake(stream, RULES);
      for (const chunk of cut(Buffer.concat([packetOf(body), behind]), cuts)) stream.write(chunk);
      expect(await intake.first).toEqual(packetOf(body));
      await new Promise(setImmediate);
      expect(intake.release()).toEqual(Buffer.from(behind));
    }),
    { seed: 3, numRuns: 200 },
  );
});

test.each([
  ['another first byte', Buffer.from([0x20, 0])],
  ['a packet over the bound, as soon as it is announced', packetOf(999).subarray(0, 3)],
  ['a length without an end', Buffer.from([0x10, 0x80, 0x80, 0x80, 0x80])],
])('%s is no first packet', async (_, bytes) => {
  const stream = new PassThrough();
  const intake = openIntake(stream, RULES);
  stream.write(bytes);
  expect(await intake.first).toBeUndefined();
});

test.each([
  ['ends', (stream: PassThrough) => stream.end()],
  ['is destroyed', (stream: PassThrough) => stream.destroy()],
])('a stream that %s before has no first packet', async (_, leave) => {
  const stream = new PassThrough();
  const intake = openIntake(stream, RULES);
  stream.write(packetOf(10).subarray(0, 5));
  leave(stream);
  expect(await intake.first).toBeUndefined();
});

test('what is held has a bound; the rest stays with its sender, and nothing is lost', async () => {
  const stream = new PassThrough({ highWaterMark: 1024 });
  const intake = openIntake(stream, RULES);
  stream.write(packetOf(10));
  await intake.first;
  const chunk = Buffer.alloc(1000, 7);
  let written = 0;
  while (stream.write(chunk) && written < 1000) {
    written++;
    await new Promise(setImmediate);
  }
  expect(stream.isPaused()).toBe(true);
  expect(written).toBeLessThan(70);
  const held = intake.release();
  expect(held.length).toBeGreaterThanOrEqual(65_536);
  const rest = stream.toArray();
  stream.end();
  const total = Buffer.concat(await rest).length + held.length;
  expect(total).toBe((written + 1) * 1000);
});

test('after the release, chunks are the next reader’s', async () => {
  const stream = new PassThrough();
  const intake = openIntake(stream, RULES);
  stream.write(packetOf(1));
  await intake.first;
  expect(intake.release()).toHaveLength(0);
  stream.write('next');
  const [chunk] = await once(stream, 'data');
  expect(String(chunk)).toBe('next');
  expect(intake.release()).toHaveLength(0);
});
