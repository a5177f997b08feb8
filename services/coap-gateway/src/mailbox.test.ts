import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { ByteBudget } from './coap/byte-budget.ts';
import { type Delivery, type Downlink, Mailbox } from './mailbox.ts';

const ANSWERED: Delivery = { outcome: 'ANSWERED', code: 0x44, payload: Buffer.alloc(0) };

/** A mailbox whose deliveries the test ends, in their order. */
function bench(budgetBytes = 1_000) {
  const budget = new ByteBudget(budgetBytes);
  const begun: string[] = [];
  const ended: string[] = [];
  const open: ((delivery: Delivery) => void)[] = [];
  const deliver = (downlink: Downlink) => {
    begun.push(downlink.payload.toString());
    return new Promise<Delivery>((resolve) => open.push(resolve));
  };
  const mailbox = new Mailbox({ deliver, budget });
  const put = (text: string) =>
    mailbox.put({
      ...{ kind: 'MESSAGE', payload: Buffer.from(text) },
      ended: ({ outcome }) => ended.push(`${text} ${outcome}`),
    });
  const end = async (delivery: Delivery) => {
    open.shift()?.(delivery);
    await turn();
  };
  return { mailbox, budget, begun, ended, put, end };
}

test('one after the other, in their order', async () => {
  const { begun, ended, put, end, budget } = bench();
  for (const text of ['a', 'b', 'c']) put(text);
  expect(begun).toEqual(['a']);
  await end(ANSWERED);
  expect(begun).toEqual(['a', 'b']);
  await end({ outcome: 'REFUSED' });
  await end({ outcome: 'LATE' });
  expect(ended).toEqual(['a ANSWERED', 'b REFUSED', 'c LATE']);
  put('d');
  expect(begun).toEqual(['a', 'b', 'c', 'd']);
  expect(budget.held).toBe(1);
});

test('sixteen wait beside the one that is under way; another one is not taken', () => {
  const { ended, put } = bench();
  for (let number = 0; number < 17; number++) put(`${number}`);
  expect(ended).toEqual([]);
  put('more');
  expect(ended).toEqual(['more FULL']);
});

test('nor one that is too much for all devices together, until others have ended', async () => {
  const { ended, put, end } = bench(5);
  put('abc');
  put('def');
  expect(ended).toEqual(['def FULL']);
  await end(ANSWERED);
  put('ghi');
  expect(ended).toEqual(['def FULL', 'abc ANSWERED']);
});

test('a device that is away is not waited for once more by each of the others', async () => {
  const { begun, ended, put, end, budget } = bench();
  for (const text of ['a', 'b', 'c']) put(text);
  await end({ outcome: 'LOST' });
  expect(begun).toEqual(['a']);
  expect(ended).toEqual(['a LOST', 'b LOST', 'c LOST']);
  expect(budget.held).toBe(0);
});

test('after the end nothing is delivered, and what was under way does not count', async () => {
  const { mailbox, begun, ended, put, end, budget } = bench();
  for (const text of ['a', 'b']) put(text);
  mailbox.close();
  await end(ANSWERED);
  put('c');
  expect(begun).toEqual(['a']);
  expect(ended).toEqual(['b CLOSED', 'a CLOSED', 'c CLOSED']);
  expect(budget.held).toBe(0);
});
