import type { DeviceRecord } from '@latchkey/credential';
import { toRevision } from '@latchkey/kernel';
import { anyRevisions, anyState, deviceOf, id, secretSlot, shown } from '@latchkey/store/contract';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compact, expand, notedIn, readAtMsIn, withNoted } from './compact.ts';

const anyTimeMs = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const anyMark = fc.integer({ min: 0, max: 2 ** 32 - 1 });

test('a compact record is expanded to what it was', () => {
  fc.assert(
    fc.property(anyState, anyRevisions, anyTimeMs, anyMark, (state, [revision, sessionsClosedAt], readAtMs, mark) => {
      const record: DeviceRecord = { ...state, revision, sessionsClosedAt };
      const fresh = compact(record, readAtMs);
      const noted = withNoted(fresh, mark);
      for (const text of [fresh, noted]) expect(shown(expand(record.deviceId, text))).toEqual(shown(record));
      expect([readAtMsIn(noted), notedIn(fresh), notedIn(noted)]).toEqual([readAtMs, 0, mark]);
    }),
    { numRuns: 1_000 },
  );
});

test('it takes a byte a character, and 154 of them with two used secrets of 32 characters', () => {
  const slots = { primary: secretSlot('p'.repeat(32)), secondary: secretSlot('s'.repeat(32)) };
  const used = <T extends object>(slot: T) => ({ ...slot, firstUsedAtMs: 2 ** 48 - 1 });
  const [primary, secondary] = [used(slots.primary), used(slots.secondary)];
  const credentials = { kind: 'SECRET', format: 'TEXT', primary, secondary } as const;
  const state = deviceOf(id('d'), { credentials, activatedAtMs: 1 });
  const text = compact({ ...state, revision: toRevision(2 ** 53 - 1), sessionsClosedAt: toRevision(0) }, 1);
  expect(text).toHaveLength(6 + 4 + 1 + 7 + 6 + 6 + 2 * (1 + 6 + 6 + 16 + 1 + 32));
  expect(text).toMatch(/^[\0-\xff]*$/);
});

test('that there is no record is remembered too', () => {
  const text = compact(undefined, 7);
  expect([expand(id('d'), text), readAtMsIn(text), notedIn(text)]).toEqual([undefined, 7, 0]);
});
