import { describe, expect, it } from 'vitest';
import type { Change, Session, Trouble } from './history.ts';
import { judgeSessions, kickTimesMs, OVERTAKEN_MS, SESSION_BOUND_MS } from './session-rule.ts';

const SECOND = 1_000_000;
const BOUND_US = SESSION_BOUND_MS * 1_000;

/** A device that was created at 0, and then changed so; each answered after 10 us. */
function changesOf(...parts: (Pick<Change, 'act' | 'builtOn' | 'beginUs'> & Partial<Change>)[]): Change[] {
  const created = { act: 'CREATE', builtOn: 0, beginUs: 0, slot: 'PRIMARY' } as const;
  return [created, ...parts].map((part, id) => {
    const answer = { endUs: part.beginUs + 10, outcome: 'OK', revision: undefined } as const;
    return { id, device: 0, slot: undefined, forced: false, ...answer, ...part };
  });
}

function sessionOf(part: Partial<Session> = {}): Session {
  const times = { beginUs: 90, openUs: 100, closeUs: undefined };
  return { device: 0, gateway: 0, secret: 0, kicked: false, ...times, ...part };
}

function judge(changes: readonly Change[], session: Session, more: { troubles?: Trouble[]; endUs?: number } = {}) {
  const { troubles = [], endUs = 60 * SECOND } = more;
  const { endings, stale } = judgeSessions({ changes, sessions: [session], troubles, endUs });
  return { ended: endings.map(({ change }) => change.id), stale: stale.length };
}

const FREEZE = { act: 'FREEZE', builtOn: 1, beginUs: 200 } as const;
const RETIRE = { act: 'RETIRE', slot: 'PRIMARY', builtOn: 2, beginUs: 300 } as const;

describe('what ends a session', () => {
  it.each([
    ['a freeze', FREEZE],
    ['a deletion', { act: 'DELETE', builtOn: 1, beginUs: 200 }],
    ['a forced reset, whichever slot', { act: 'RESET', slot: 'SECONDARY', forced: true, builtOn: 1, beginUs: 200 }],
    ['a retirement of its slot', { ...RETIRE, builtOn: 1 }],
  ] as const)('%s', (_, change) => {
    expect(judge(changesOf(change), sessionOf())).toEqual({ ended: [1], stale: 1 });
  });

  it.each([
    ['a plain reset', { act: 'RESET', slot: 'PRIMARY', builtOn: 1, beginUs: 200 }],
    ['a retirement of the other slot', { ...RETIRE, slot: 'SECONDARY', builtOn: 1 }],
    ['a retirement that found the slot empty', { ...RETIRE, builtOn: 1, revision: 1 }],
    ['an unfreezing', { act: 'UNFREEZE', builtOn: 1, beginUs: 200 }],
    ['a freeze of unknown outcome', { ...FREEZE, outcome: 'UNKNOWN', endUs: undefined }],
    ['a freeze that was answered before it', { ...FREEZE, beginUs: 20 }],
    ['a freeze of another device', { ...FREEZE, device: 1 }],
  ] as const)('not: %s', (_, change) => {
    expect(judge(changesOf(change), sessionOf())).toEqual({ ended: [], stale: 0 });
  });

  it('not a retirement of what the slot holds since a plain reset', () => {
    const reset = { act: 'RESET', slot: 'PRIMARY', builtOn: 1, beginUs: 200 } as const;
    expect(judge(changesOf(reset, RETIRE), sessionOf()).ended).toEqual([]);
    expect(judge(changesOf({ ...reset, outcome: 'UNKNOWN', endUs: undefined }, RETIRE), sessionOf()).ended).toEqual([]);
    expect(judge(changesOf({ ...reset, outcome: 'REFUSED' }, RETIRE), sessionOf()).ended).toEqual([2]);
    expect(judge(changesOf(reset, RETIRE), sessionOf({ secret: 1, beginUs: 220, openUs: 230 })).ended).toEqual([2]);
  });

  it('a change beside the CONNECT, if it takes the secret away and nothing gives it back', () => {
    const beside = sessionOf({ beginUs: 205, openUs: 250 });
    const forced = { act: 'RESET', slot: 'SECONDARY', forced: true, builtOn: 1, beginUs: 200 } as const;
    const unfreeze = { act: 'UNFREEZE', builtOn: 2, beginUs: 220 } as const;
    expect(judge(changesOf(FREEZE), beside).ended).toEqual([1]);
    expect(judge(changesOf(FREEZE, unfreeze), beside).ended).toEqual([]);
    expect(judge(changesOf(forced), beside).ended).toEqual([]);
    expect(judge(changesOf({ ...forced, slot: 'PRIMARY' }), beside).ended).toEqual([1]);
  });

  it('not a change that came when it was over', () => {
    expect(judge(changesOf(FREEZE), sessionOf({ closeUs: 150 })).ended).toEqual([]);
  });
});

describe('the bound', () => {
  const answeredUs = FREEZE.beginUs + 10;
  const staleAt = (closeUs: number, ...troubles: Trouble[]) =>
    judge(changesOf(FREEZE), sessionOf({ closeUs }), { troubles }).stale;

  it('begins with the answer', () => {
    expect(staleAt(answeredUs + BOUND_US)).toBe(0);
    expect(staleAt(answeredUs + BOUND_US + 1)).toBe(1);
  });

  it('counts until the end of the history for a session that is open', () => {
    expect(judge(changesOf(FREEZE), sessionOf(), { endUs: answeredUs + BOUND_US })).toEqual({ ended: [1], stale: 0 });
    expect(judge(changesOf(FREEZE), sessionOf(), { endUs: answeredUs + BOUND_US + 1 }).stale).toBe(1);
  });

  it('is longer for a session that was opened while the change was made', () => {
    const beside = (closeUs: number) => {
      const session = sessionOf({ beginUs: 190, openUs: FREEZE.beginUs, closeUs });
      return judge(changesOf(FREEZE), session).stale;
    };
    expect(beside(answeredUs + BOUND_US + OVERTAKEN_MS * 1_000)).toBe(0);
    expect(beside(answeredUs + BOUND_US + OVERTAKEN_MS * 1_000 + 1)).toBe(1);
  });

  it('begins anew after each trouble of its gateway, and of no other', () => {
    const first = { gateway: 0, beginUs: 0, endUs: 4 * SECOND };
    const second = { gateway: 0, beginUs: 9 * SECOND, endUs: 11 * SECOND };
    expect(staleAt(11 * SECOND + BOUND_US, second, first)).toBe(0);
    expect(staleAt(11 * SECOND + BOUND_US + 1, second, first)).toBe(1);
    expect(staleAt(answeredUs + BOUND_US + 1, { ...first, gateway: 1 })).toBe(1);
    expect(staleAt(answeredUs + BOUND_US + 1, { ...first, endUs: answeredUs })).toBe(1);
    expect(staleAt(4 * SECOND + BOUND_US + 1, first, { ...second, beginUs: 4 * SECOND + BOUND_US + 1 })).toBe(1);
  });
});

it('kicks are timed from the answer, and those before it took no time', () => {
  const kick = (part: Partial<Session>) => {
    const sessions = [sessionOf(part)];
    const history = { changes: changesOf(FREEZE), sessions, troubles: [], endUs: 60 * SECOND };
    return kickTimesMs(judgeSessions(history).endings);
  };
  expect(kick({ closeUs: 5_210, kicked: true })).toEqual([5]);
  expect(kick({ closeUs: 205, kicked: true })).toEqual([0]);
  expect(kick({ closeUs: 5_210 })).toEqual([]);
  expect(kick({})).toEqual([]);
});
