import { describe, expect, it } from 'vitest';
import { check } from './checker.ts';
import type { Change, Decision } from './history.ts';

/** Changes of device 0, numbered in their order; answered unless said otherwise. */
function changesOf(...parts: (Pick<Change, 'act' | 'builtOn' | 'beginUs'> & Partial<Change>)[]): Change[] {
  return parts.map((part, id) => ({
    id,
    device: 0,
    slot: part.act === 'RESET' || part.act === 'CREATE' ? 'PRIMARY' : undefined,
    forced: false,
    endUs: part.beginUs + 5,
    outcome: 'OK',
    revision: undefined,
    ...part,
  }));
}

function decisionOf(part: Partial<Decision> & Pick<Decision, 'secret' | 'beginUs' | 'outcome'>): Decision {
  const endUs = part.beginUs + 3;
  return { device: 0, by: 'replica 1', endUs, decidedUs: part.beginUs + 1, revision: 99, ...part };
}

const CREATED = { act: 'CREATE', builtOn: 0, beginUs: 0 } as const;
const RESET = { act: 'RESET', builtOn: 1, beginUs: 100 } as const;

function rulesBroken(changes: Change[], ...decisions: Decision[]): string[] {
  return check({ changes, decisions }).violations.map(({ rule }) => rule);
}

function rejected(changes: Change[], ...decisions: Decision[]): number {
  return check({ changes, decisions }).falseRejections.length;
}

describe('violations', () => {
  const changes = changesOf(CREATED, RESET);
  const old = (beginUs: number, more: Partial<Decision> = {}) =>
    decisionOf({ secret: 0, beginUs, outcome: 'GRANTED', ...more });

  it('lets the old secret in until the reset is answered, and no longer', () => {
    expect(rulesBroken(changes, old(50), old(101), old(104, { decidedUs: 105 }))).toEqual([]);
    expect(rulesBroken(changes, old(106))).toEqual(['BY_START']);
  });

  it('counts by the moment of decision too', () => {
    expect(rulesBroken(changes, old(90, { decidedUs: 106, endUs: 107 }))).toEqual(['BY_DECISION']);
    expect(rulesBroken(changes, old(90, { decidedUs: undefined, endUs: 107 }))).toEqual([]);
    const late = changesOf(CREATED, { ...RESET, endUs: 120 }, { ...RESET, builtOn: 2, beginUs: 50, endUs: 60 });
    expect(rulesBroken(late, old(90, { decidedUs: 130, endUs: 131 }))).toEqual(['BY_START']);
  });

  it('finds nothing in denials and missing decisions', () => {
    expect(rulesBroken(changes, old(200, { outcome: 'DENIED' }), old(200, { outcome: 'NONE' }))).toEqual([]);
  });

  it('lets the new secret in even before its reset is answered', () => {
    expect(rulesBroken(changes, decisionOf({ secret: 1, beginUs: 101, outcome: 'GRANTED' }))).toEqual([]);
  });

  it('knows the slots apart', () => {
    const other = changesOf(CREATED, { ...RESET, slot: 'SECONDARY' });
    expect(rulesBroken(other, old(200))).toEqual([]);
  });

  it('knows devices apart', () => {
    const other = changesOf(CREATED, { ...RESET, device: 1 });
    expect(rulesBroken(other, old(200))).toEqual([]);
  });

  it('draws nothing from a reset of unknown outcome, and much from the answered one after it', () => {
    const unknown = { ...RESET, outcome: 'UNKNOWN', endUs: undefined } as const;
    expect(rulesBroken(changesOf(CREATED, unknown), old(200))).toEqual([]);
    const three = changesOf(CREATED, unknown, { ...RESET, builtOn: 2, beginUs: 150 });
    const shown = (secret: number) => decisionOf({ secret, beginUs: 200, outcome: 'GRANTED' });
    expect(rulesBroken(three, shown(0), shown(1), shown(2))).toEqual(['BY_START', 'BY_START']);
  });

  it('orders overlapping resets by what they are built on', () => {
    const overlapping = changesOf(CREATED, { ...RESET, builtOn: 7, endUs: 130 }, { ...RESET, builtOn: 4, endUs: 140 });
    const shown = (secret: number) => decisionOf({ secret, beginUs: 200, outcome: 'GRANTED' });
    expect(rulesBroken(overlapping, shown(1))).toEqual([]);
    expect(rulesBroken(overlapping, shown(2))).toEqual(['BY_START']);
  });

  it('lets only one of two resets on the same revision be', () => {
    const twins = changesOf(CREATED, RESET, { ...RESET, outcome: 'UNKNOWN', endUs: undefined });
    expect(rulesBroken(twins, decisionOf({ secret: 2, beginUs: 200, outcome: 'GRANTED' }))).toEqual(['BY_START']);
    const refused = changesOf(CREATED, { ...RESET, outcome: 'REFUSED' });
    expect(rulesBroken(refused, decisionOf({ secret: 1, beginUs: 200, outcome: 'GRANTED' }))).toEqual(['NEVER_SET']);
  });

  it('finds a grant on an older record, even with a secret that still stands', () => {
    const other = changesOf(CREATED, { ...RESET, slot: 'SECONDARY', revision: 8 });
    expect(rulesBroken(other, old(200, { revision: 7 }))).toEqual(['BY_START']);
    expect(rulesBroken(other, old(101, { revision: 7 }), old(200, { revision: 8 }))).toEqual([]);
  });

  it('takes a retired secret away, and not the one that was set after it', () => {
    const retire = { act: 'RETIRE', slot: 'PRIMARY', builtOn: 1, beginUs: 100 } as const;
    const again = changesOf(CREATED, retire, { ...RESET, builtOn: 2, beginUs: 150 });
    const shown = (secret: number) => decisionOf({ secret, beginUs: 200, outcome: 'GRANTED' });
    expect(rulesBroken(again, shown(0), shown(2))).toEqual(['BY_START']);
    expect(rulesBroken(changesOf(CREATED, { ...retire, slot: 'SECONDARY' }), shown(0))).toEqual([]);
    // It found the slot empty, so that the next reset is built on the same revision.
    const idle = { ...retire, revision: 1 };
    const next = changesOf({ ...CREATED, slot: 'SECONDARY' }, idle, { ...RESET, beginUs: 150 });
    expect(rulesBroken(next, shown(2))).toEqual([]);
    expect(rulesBroken(changesOf({ ...CREATED }, idle), shown(0))).toEqual(['BY_START']);
  });

  it('holds a CONNECT, which tells no revision, against the changes before it', () => {
    const connect = (beginUs: number) => old(beginUs, { by: 'gateway 0', decidedUs: undefined, revision: undefined });
    expect(rulesBroken(changes, connect(101))).toEqual([]);
    expect(rulesBroken(changes, connect(106))).toEqual(['BY_START']);
    const other = changesOf(CREATED, { ...RESET, slot: 'SECONDARY', revision: 8 });
    expect(rulesBroken(other, connect(200))).toEqual([]);
  });

  it('holds a frozen device until somebody begins to unfreeze it', () => {
    const freeze = { act: 'FREEZE', builtOn: 1, beginUs: 100 } as const;
    const unfreeze = { act: 'UNFREEZE', builtOn: 2, beginUs: 200 } as const;
    expect(rulesBroken(changesOf(CREATED, freeze), old(150))).toEqual(['BY_START']);
    const both = changesOf(CREATED, freeze, { ...unfreeze, outcome: 'UNKNOWN', endUs: undefined });
    expect(rulesBroken(both, old(150), old(201))).toEqual(['BY_START']);
    const again = changesOf(CREATED, freeze, unfreeze, { ...freeze, builtOn: 3, beginUs: 300 });
    expect(rulesBroken(again, old(250), old(310))).toEqual(['BY_START']);
  });

  it('takes every secret with the device, and none of its next life', () => {
    const lives = changesOf(
      CREATED,
      { act: 'RESET', slot: 'SECONDARY', builtOn: 1, beginUs: 50 },
      { act: 'DELETE', builtOn: 2, beginUs: 100 },
      { ...CREATED, builtOn: 3, beginUs: 200 },
    );
    const shown = (secret: number) => decisionOf({ secret, beginUs: 300, outcome: 'GRANTED' });
    expect(rulesBroken(lives, shown(0), shown(1), shown(3))).toEqual(['BY_START', 'BY_START']);
  });
});

describe('false rejections', () => {
  const shown = (secret: number, beginUs: number) => decisionOf({ secret, beginUs, outcome: 'DENIED' });

  it('finds a valid secret that was denied in quiet times', () => {
    const changes = changesOf(CREATED, RESET);
    expect(rejected(changes, shown(0, 50), shown(1, 150))).toBe(2);
    expect(rejected(changes, { ...shown(1, 150), outcome: 'NONE' })).toBe(0);
  });

  it('finds none in what was taken away, or while it was', () => {
    const changes = changesOf(CREATED, RESET);
    expect(rejected(changes, shown(0, 150), shown(0, 98), shown(0, 102), shown(1, 102))).toBe(0);
  });

  it('is not sure beside an unknown retirement of the same slot', () => {
    const retire = { act: 'RETIRE', builtOn: 1, beginUs: 100, outcome: 'UNKNOWN', endUs: undefined } as const;
    expect(rejected(changesOf(CREATED, { ...retire, slot: 'PRIMARY' }), shown(0, 200))).toBe(0);
    expect(rejected(changesOf(CREATED, { ...retire, slot: 'SECONDARY' }), shown(0, 200))).toBe(1);
    const idle = { act: 'RETIRE', slot: 'SECONDARY', builtOn: 1, beginUs: 150, revision: 1 } as const;
    expect(rejected(changesOf(CREATED, { ...retire, slot: 'PRIMARY' }, idle), shown(0, 200))).toBe(0);
  });

  it('is not sure beside an unknown reset, unless that can no longer be', () => {
    const unknown = { ...RESET, outcome: 'UNKNOWN', endUs: undefined } as const;
    expect(rejected(changesOf(CREATED, unknown), shown(0, 200), shown(1, 200))).toBe(0);
    const elsewhere = { act: 'RESET', slot: 'SECONDARY', beginUs: 150 } as const;
    expect(rejected(changesOf(CREATED, unknown, { ...elsewhere, builtOn: 1 }), shown(0, 200))).toBe(1);
    expect(rejected(changesOf(CREATED, unknown, { ...elsewhere, builtOn: 2 }), shown(0, 200))).toBe(0);
    expect(rejected(changesOf(CREATED, { ...RESET, outcome: 'REFUSED' }), shown(0, 200))).toBe(1);
  });

  it('is sure again after an answered unfreezing', () => {
    const freeze = { act: 'FREEZE', builtOn: 1, beginUs: 100, outcome: 'UNKNOWN', endUs: undefined } as const;
    const unfreeze = { act: 'UNFREEZE', builtOn: 2, beginUs: 200 } as const;
    expect(rejected(changesOf(CREATED, freeze), shown(0, 150))).toBe(0);
    expect(rejected(changesOf(CREATED, freeze, unfreeze), shown(0, 202), shown(0, 210))).toBe(1);
  });
});

it('refuses a history that does not fit together', () => {
  const decision = decisionOf({ secret: 5, beginUs: 1, outcome: 'GRANTED' });
  expect(() => check({ changes: changesOf(CREATED), decisions: [decision] })).toThrow('none of device 0');
});
