import { Secret, toRevision } from '@latchkey/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DeviceRecord, DeviceState, Slot } from './device.ts';
import { isRefusal, type Refusal, refuse } from './refusal.ts';
import { resetSecret } from './reset.ts';
import { dueAtMs, dueRetirement, retireLater, standingAt } from './retirement.ts';
import {
  type LastUses,
  lastUseOf,
  locksOut,
  promoteSecondary,
  retire,
  safeToRetire,
  USE_PRECISION_MS,
} from './rotation.ts';
import { restsOn, type SessionContext, sessionStands } from './session.ts';
import { contentOf, heldIn, otherSlot, stateOf } from './state.ts';
import { leavesTrace, noteSuccess } from './success.ts';
import { fingerprints, idOf, PRIMARY_ID, plain, record, SECONDARY_ID, secrets } from './test-devices.ts';
import { context, DAY_MS, NOW_MS } from './test-pki.ts';
import type { GrantVerdict } from './verdict.ts';
import { verify } from './verify.ts';

const PRIMARY = 'primary-1';
const SECONDARY = 'secondary-1';
const HOUR_MS = 3_600_000;
const AT_MS = NOW_MS + HOUR_MS;
const NO_USES: LastUses = { lastUsedAtMs: new Map(), blindUntilMs: 0 };

function taken<T extends DeviceState>(outcome: T | Refusal): T {
  if (isRefusal(outcome)) throw new Error(`refused: ${outcome.refused}`);
  return outcome;
}

/** A device whose slots were set and first used then; undefined: never used. */
function rotating(
  primary: { readonly setAtMs: number; readonly firstUsedAtMs: number | undefined },
  secondary: { readonly setAtMs: number; readonly firstUsedAtMs: number | undefined },
): DeviceRecord {
  return record({
    kind: 'SECRET',
    format: 'TEXT',
    primary: { state: 'SET', credentialId: PRIMARY_ID, secret: new Secret(PRIMARY), ...primary },
    secondary: { state: 'SET', credentialId: SECONDARY_ID, secret: new Secret(SECONDARY), ...secondary },
  });
}

/** Both slots used long ago. */
const BOTH = record(secrets(PRIMARY, SECONDARY));
const withState = (state: DeviceState): DeviceRecord => ({ ...BOTH, ...state });
const retiring = (slot: Slot, when: Parameters<typeof retireLater>[2] = { atMs: AT_MS }) =>
  withState(taken(retireLater(BOTH, slot, when)));
const at = (nowMs: number) => context({ nowMs });

function granted(device: DeviceRecord, secret: string, nowMs = NOW_MS): GrantVerdict {
  const verdict = verify(device, plain(secret), at(nowMs));
  if (verdict.kind !== 'GRANT') throw new Error(`no grant but ${JSON.stringify(verdict)}`);
  return verdict;
}

describe('a retirement with a deadline', () => {
  it('leaves the slot as it is until the deadline and makes it EMPTY from then on, emptied or not', () => {
    const device = retiring('PRIMARY');
    expect(granted(device, PRIMARY, AT_MS - 1)).toMatchObject({ slot: 'PRIMARY', expiresAtMs: AT_MS });
    expect(granted(device, SECONDARY, AT_MS - 1)).toMatchObject({ slot: 'SECONDARY', expiresAtMs: undefined });
    expect(verify(device, plain(PRIMARY), at(AT_MS))).toEqual({ kind: 'DENY', reason: 'SECRET_MISMATCH' });
    expect(granted(device, SECONDARY, AT_MS)).toMatchObject({ slot: 'SECONDARY' });
  });

  it('counts for certificates too, and as no credential where nothing else is accepted', () => {
    const print = 'ab'.repeat(32);
    const device = record(fingerprints(print));
    const later = { ...device, ...taken(retireLater(device, 'PRIMARY', { atMs: AT_MS })) };
    const proof = { kind: 'FINGERPRINT', fingerprint: print } as const;
    expect(verify(later, proof, at(AT_MS - 1)).kind).toBe('GRANT');
    expect(verify(later, proof, at(AT_MS))).toEqual({ kind: 'DENY', reason: 'NO_CREDENTIAL' });
  });

  it('is due from the deadline on, and what it leaves has no retirement', () => {
    const device = retiring('SECONDARY');
    expect(dueRetirement(device, AT_MS - 1)).toBeUndefined();
    expect(dueRetirement(device, AT_MS)).toEqual({ state: retire(BOTH, 'SECONDARY'), credentialId: SECONDARY_ID });
    expect(standingAt(device, AT_MS - 1)).toBe(device);
    expect(standingAt(device, AT_MS)).toEqual({ ...BOTH, ...retire(BOTH, 'SECONDARY') });
    expect(retire(BOTH, 'SECONDARY').retirement).toBeUndefined();
  });

  it('falls due with the activation, whichever is first', () => {
    const waiting = { activatedAtMs: undefined, createdAtMs: NOW_MS, activationTimeoutS: 60 };
    expect(dueAtMs(BOTH)).toBeUndefined();
    expect(dueAtMs(retiring('PRIMARY'))).toBe(AT_MS);
    expect(dueAtMs(retiring('PRIMARY', 'ON_OTHER_USED'))).toBeUndefined();
    expect(dueAtMs({ ...BOTH, ...waiting })).toBe(NOW_MS + 60_000);
    expect(dueAtMs({ ...retiring('PRIMARY'), ...waiting })).toBe(NOW_MS + 60_000);
    expect(dueAtMs({ ...retiring('PRIMARY', { atMs: NOW_MS }), ...waiting })).toBe(NOW_MS);
  });

  it('goes with its credential when that is promoted, and ends when it is replaced or retired', () => {
    const device = retiring('SECONDARY');
    const promoted = withState(taken(promoteSecondary(device)));
    expect(verify(promoted, plain(SECONDARY), at(AT_MS)).kind).toBe('DENY');
    expect(granted(promoted, PRIMARY, AT_MS)).toMatchObject({ slot: 'SECONDARY' });
    const next = { credentialId: idOf(9), secret: new Secret('brand-new'), nowMs: NOW_MS };
    expect(taken(resetSecret(device, 'SECONDARY', next)).retirement).toBeUndefined();
    expect(taken(resetSecret(device, 'PRIMARY', next)).retirement).toEqual(device.retirement);
    expect(retire(device, 'SECONDARY').retirement).toBeUndefined();
    expect(retire(device, 'PRIMARY').retirement).toEqual(device.retirement);
  });

  it('may be moved, but not while the other credential retires, nor for a slot that is not SET', () => {
    const device = retiring('PRIMARY');
    const moved = taken(retireLater(device, 'PRIMARY', 'ON_OTHER_USED'));
    expect(moved.retirement).toEqual({ credentialId: PRIMARY_ID, when: 'ON_OTHER_USED' });
    expect(retireLater(device, 'SECONDARY', { atMs: AT_MS })).toEqual(refuse('OTHER_RETIRES'));
    const armed = record(fingerprints('ARMED'));
    expect(retireLater(armed, 'PRIMARY', { atMs: AT_MS })).toEqual(refuse('NOT_SET'));
    expect(retireLater(armed, 'SECONDARY', { atMs: AT_MS })).toBe(armed);
  });
});

describe('noteSuccess', () => {
  it('leaves a device alone that has nothing new to say', () => {
    const grant = granted(BOTH, PRIMARY);
    expect(leavesTrace(grant)).toBe(false);
    expect(noteSuccess(BOTH, grant, NOW_MS)).toBe(BOTH);
  });

  it('notes activation and first use in one, of the slot that had the success', () => {
    const times = { setAtMs: NOW_MS - DAY_MS, firstUsedAtMs: undefined };
    const device = { ...rotating(times, times), activatedAtMs: undefined };
    const grant = granted(device, SECONDARY);
    expect(grant).toMatchObject({ activate: true, firstUse: true });
    expect(leavesTrace(grant)).toBe(true);
    const after = withState(noteSuccess(device, grant, NOW_MS));
    expect(after.activatedAtMs).toBe(NOW_MS);
    expect([heldIn(after, 'PRIMARY')?.firstUsedAtMs, heldIn(after, 'SECONDARY')?.firstUsedAtMs]).toEqual([
      undefined,
      NOW_MS,
    ]);
    expect(leavesTrace(granted(after, SECONDARY))).toBe(false);
    expect(leavesTrace(granted(after, PRIMARY))).toBe(true);
  });

  it('empties the other slot when its retirement waited for this, and only then', () => {
    const device = retiring('PRIMARY', 'ON_OTHER_USED');
    expect(granted(device, PRIMARY)).toMatchObject({ retires: undefined, expiresAtMs: undefined });
    const grant = granted(device, SECONDARY);
    expect(grant.retires).toBe(PRIMARY_ID);
    expect(noteSuccess(device, grant, NOW_MS)).toEqual(stateOf(withState(retire(BOTH, 'PRIMARY'))));
    const promoted = withState(taken(promoteSecondary(device)));
    const after = noteSuccess(promoted, granted(promoted, SECONDARY), NOW_MS);
    expect(contentOf(after, 'SECONDARY')).toEqual({ state: 'EMPTY' });
  });
});

describe('locksOut', () => {
  const used = { setAtMs: NOW_MS - DAY_MS, firstUsedAtMs: NOW_MS - HOUR_MS };
  const unused = { ...used, firstUsedAtMs: undefined };

  it.each([
    ['the other slot is used', BOTH, false],
    ['the other slot was never used', rotating(used, unused), true],
    ['the other slot is empty', record(secrets(PRIMARY)), true],
    ['the other slot itself retires by the clock', retiring('SECONDARY'), true],
    ['the other slot waits for this one', retiring('SECONDARY', 'ON_OTHER_USED'), false],
    ['the slot is empty already', record(secrets(undefined, SECONDARY)), false],
  ])('%s', (_name, device, expected) => {
    expect(locksOut(device, 'PRIMARY', 'NOW')).toBe(expected);
    expect(locksOut(device, 'PRIMARY', { atMs: AT_MS })).toBe(expected);
    expect(locksOut(device, 'PRIMARY', 'ON_OTHER_USED')).toBe(false);
  });
});

describe('safeToRetire', () => {
  const OLD = { setAtMs: NOW_MS - 9 * DAY_MS, firstUsedAtMs: NOW_MS - 9 * DAY_MS };
  const NEW = { setAtMs: NOW_MS - 3 * DAY_MS, firstUsedAtMs: NOW_MS - 2 * DAY_MS };
  const time = { nowMs: NOW_MS, quietMs: DAY_MS };
  const uses = (lastMs: number, blindUntilMs = 0): LastUses => ({
    lastUsedAtMs: new Map([[PRIMARY_ID, lastMs]]),
    blindUntilMs,
  });

  it('names the slot that was set earlier, once the other is used and it is quiet', () => {
    const device = rotating(OLD, NEW);
    expect(safeToRetire(device, uses(NOW_MS - 5 * DAY_MS), time)).toBe('PRIMARY');
    expect(safeToRetire(withState(taken(promoteSecondary(device))), uses(NOW_MS - 5 * DAY_MS), time)).toBe('SECONDARY');
    expect(safeToRetire(rotating({ ...OLD, firstUsedAtMs: undefined }, NEW), NO_USES, time)).toBe('PRIMARY');
  });

  it.each([
    ['the new one was never used', rotating(OLD, { ...NEW, firstUsedAtMs: undefined }), NO_USES],
    ['the old one was used in the same minute', rotating(OLD, NEW), uses(NEW.firstUsedAtMs - USE_PRECISION_MS + 1)],
    ['the old one was used since', rotating(OLD, NEW), uses(NEW.firstUsedAtMs + HOUR_MS)],
    ['a replica vanished since', rotating(OLD, NEW), uses(NOW_MS - 5 * DAY_MS, NEW.firstUsedAtMs + 1)],
    ['both were set at once', rotating(OLD, { ...NEW, setAtMs: OLD.setAtMs }), NO_USES],
    ['there is but one', record(secrets(PRIMARY)), NO_USES],
    ['the new one retires', retiring('SECONDARY'), NO_USES],
  ])('none: %s', (_name, device, lastUses) => {
    expect(safeToRetire(device, lastUses, time)).toBeUndefined();
  });

  it('waits for the quiet time to pass', () => {
    const device = rotating(OLD, { ...NEW, firstUsedAtMs: NOW_MS - HOUR_MS });
    const lastUses = uses(NOW_MS - 2 * HOUR_MS);
    expect(safeToRetire(device, lastUses, time)).toBeUndefined();
    expect(safeToRetire(device, lastUses, { ...time, quietMs: HOUR_MS })).toBe('PRIMARY');
  });

  it('takes time of unnoticed uses for no use of what was set later or never used', () => {
    const device = rotating(OLD, NEW);
    const late: LastUses = { lastUsedAtMs: new Map(), blindUntilMs: NEW.setAtMs - 1 };
    const [old, recent] = [heldIn(device, 'PRIMARY'), heldIn(device, 'SECONDARY')];
    expect(old && lastUseOf(old, late)).toBe(NEW.setAtMs - 1);
    expect(recent && lastUseOf(recent, late)).toBe(NEW.firstUsedAtMs);
    expect(old && lastUseOf({ ...old, firstUsedAtMs: undefined }, late)).toBeUndefined();
  });

  it('property: a slot that is called safe is not the one in use, and knowing of more uses never makes one safe', () => {
    const moment = fc.integer({ min: NOW_MS - 9 * DAY_MS, max: NOW_MS });
    const times = fc.tuple(moment, fc.option(fc.nat(DAY_MS), { nil: undefined }));
    fc.assert(
      fc.property(
        times,
        times,
        fc.array(moment, { maxLength: 4 }),
        moment,
        fc.nat(2 * DAY_MS),
        (a, b, seen, more, quietMs) => {
          const slotOf = ([setAtMs, after]: readonly [number, number | undefined]) => ({
            setAtMs,
            firstUsedAtMs: after === undefined ? undefined : setAtMs + after,
          });
          const device = rotating(slotOf(a), slotOf(b));
          const known = (lastMs: number): LastUses => ({
            lastUsedAtMs: new Map([
              [PRIMARY_ID, lastMs],
              [SECONDARY_ID, lastMs],
            ]),
            blindUntilMs: 0,
          });
          const lastMs = Math.max(0, ...seen);
          const safe = safeToRetire(device, known(lastMs), { nowMs: NOW_MS, quietMs });
          const [old, other] = [safe && heldIn(device, safe), safe && heldIn(device, otherSlot(safe))];
          const oldLastMs = (old && lastUseOf(old, known(lastMs))) ?? 0;
          expect(safe === undefined || oldLastMs < (other?.firstUsedAtMs ?? 0)).toBe(true);
          expect(safe === undefined || oldLastMs <= NOW_MS - quietMs).toBe(true);
          expect(safe !== undefined && locksOut(device, safe, 'NOW')).toBe(false);
          const informed = safeToRetire(device, known(Math.max(lastMs, more)), { nowMs: NOW_MS, quietMs });
          expect([undefined, safe]).toContain(informed);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

describe('sessionStands', () => {
  const at = (nowMs: number): SessionContext => ({
    nowMs,
    requireTrustedCa: false,
    isTrusted: () => false,
    disabled: true,
  });
  const session = { credentialId: PRIMARY_ID, revision: toRevision(5), basis: undefined };

  it('as long as the device, its credential and its sessions do', () => {
    expect(sessionStands(BOTH, session, at(NOW_MS))).toBe(true);
    expect(sessionStands(withState(taken(promoteSecondary(BOTH))), session, at(NOW_MS))).toBe(true);
    expect(sessionStands(undefined, session, at(NOW_MS))).toBe(false);
    expect(sessionStands({ ...BOTH, frozen: true }, session, at(NOW_MS))).toBe(false);
    expect(sessionStands(withState(retire(BOTH, 'PRIMARY')), session, at(NOW_MS))).toBe(false);
    expect(sessionStands(BOTH, { ...session, credentialId: idOf(9) }, at(NOW_MS))).toBe(false);
    expect(sessionStands(retiring('PRIMARY'), session, at(AT_MS - 1))).toBe(true);
    expect(sessionStands(retiring('PRIMARY'), session, at(AT_MS))).toBe(false);
  });

  it('only from the revision on that closed the device, and up to the one that it has', () => {
    const revisions = [2, 3, 7, 8].map((revision) => ({ ...session, revision: toRevision(revision) }));
    expect(revisions.map((own) => sessionStands(BOTH, own, at(NOW_MS)))).toEqual([false, true, true, false]);
  });
});

describe('sessionStands: with a certificate', () => {
  const CA_A = 'aa'.repeat(32);
  const LEAF = 'ab'.repeat(32);
  const own = { marks: [LEAF, 'cd'.repeat(20)], caIds: [CA_A] };
  const session = { credentialId: PRIMARY_ID, revision: toRevision(5), basis: own };
  const device = record(fingerprints(LEAF));
  const judge = (disabled: boolean, trusted: readonly string[], requireTrustedCa = false): SessionContext => ({
    ...{ nowMs: NOW_MS, requireTrustedCa, disabled },
    isTrusted: (caId) => trusted.includes(caId),
  });

  it('rests on what its slot holds, and on what the gateway knows of the grant', () => {
    expect(restsOn(device, session)).toEqual({ marks: [LEAF, ...own.marks], caIds: [CA_A] });
    expect(restsOn(device, { ...session, basis: undefined })).toEqual({ marks: [LEAF], caIds: [] });
    expect(restsOn(device, { ...session, credentialId: idOf(9) })).toBeUndefined();
    expect(restsOn(BOTH, session)).toBeUndefined();
  });

  it('falls with any certificate that it was opened with', () => {
    expect(sessionStands(device, session, judge(false, [CA_A]))).toBe(true);
    expect(sessionStands(device, session, judge(true, [CA_A]))).toBe(false);
  });

  it('falls with a CA that its grant needed, or that its fingerprint was bound by', () => {
    expect(sessionStands(device, session, judge(false, []))).toBe(false);
    const { credentials } = device;
    if (credentials.kind !== 'CERTIFICATE' || credentials.primary.state !== 'SET') throw new Error('it is set');
    const bound = { ...device, credentials: { ...credentials, primary: { ...credentials.primary, boundBy: CA_A } } };
    expect(sessionStands(bound, { ...session, basis: undefined }, judge(false, [CA_A]))).toBe(true);
    expect(sessionStands(bound, { ...session, basis: undefined }, judge(false, []))).toBe(false);
  });

  it('falls where a chain is demanded that nobody knows of', () => {
    const bare = { ...session, basis: { ...own, caIds: [] } };
    expect(sessionStands(device, bare, judge(false, [CA_A]))).toBe(true);
    expect(sessionStands(device, bare, judge(false, [CA_A], true))).toBe(false);
    expect(sessionStands(record(fingerprints(LEAF, undefined, true)), bare, judge(false, [CA_A]))).toBe(false);
    expect(sessionStands(device, session, judge(false, [CA_A], true))).toBe(true);
  });
});
