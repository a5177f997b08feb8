import { CAS_KEY, caIdOf, caIn, crlIn, crlKeyOf, disableCa, type TrustSet } from '@latchkey/credential';
import { crlOf, type Identity, issue } from '@latchkey/credential/testing';
import { systemClock, systemRandom } from '@latchkey/kernel';
import { generateKeyLine, openEmbeddedStore, parseKeyring, type Store } from '@latchkey/store';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { certificateService } from './certificates.ts';
import { setCrl } from './crls.ts';
import { freshDirectory } from './test-process.ts';
import { changeTrust, TRUST_UPDATED } from './trust-writes.ts';

const DAY_MS = 86_400_000;
let inner: Store;
let dispose: () => Promise<void>;
let ca: Identity;
let caId: string;
let key: NonNullable<ReturnType<typeof crlKeyOf>>;
/** CRLs of the CA, the oldest first. */
let crls: readonly Uint8Array[];

beforeAll(async () => {
  const directory = await freshDirectory();
  const keyring = parseKeyring(generateKeyLine('k1', systemRandom));
  inner = await openEmbeddedStore({
    directory: directory.path,
    ...{ keyring, clock: systemClock, random: systemRandom },
  });
  dispose = async () => {
    await inner.close();
    await directory.remove();
  };
  const now = Date.now();
  ca = await issue('pumps', { ca: true, notBeforeMs: now - DAY_MS, notAfterMs: now + DAY_MS });
  caId = caIdOf(ca.certificate);
  const found = crlKeyOf(ca.certificate);
  if (found === undefined) throw new Error('a CA has a name');
  key = found;
  crls = await Promise.all([9_000, 6_000, 3_000].map((agoMs) => crlOf(ca, [ca], now - agoMs)));
});
afterAll(() => dispose());

const portsOf = (store: Store) => ({ store, clock: systemClock }) as Parameters<typeof setCrl>[0];
const give = (store: Store, at: number) =>
  setCrl(portsOf(store), { caId, crl: crls[at] } as Parameters<typeof setCrl>[1]);
const cas = (change: (set: TrustSet) => TrustSet, store = inner) => changeTrust(store, CAS_KEY, TRUST_UPDATED, change);
/** As registered and verified; the steps before are those of the CAs' set alone. */
const trust = (set: TrustSet): TrustSet => {
  const others = set.cas.filter((one) => one.caId !== caId);
  return { ...set, cas: [...others, { caId, der: ca.certificate.raw, status: 'TRUSTED', verifyCode: '' }] };
};
const isDone = (call: Promise<unknown>) =>
  call.then(
    () => true,
    () => false,
  );

/** The CA is disabled and has the first CRL; gives a store whose steps the scheduler orders, and the deletion of the CA in it. */
async function disabled(scheduler: fc.Scheduler) {
  await changeTrust(inner, key, TRUST_UPDATED, (set) => ({ ...set, crls: [] }));
  await cas(trust);
  await give(inner, 0);
  await cas((set) => disableCa(set, caId) as TrustSet);
  const store: Store = {
    ...inner,
    readTrust: scheduler.scheduleFunction(inner.readTrust),
    writeTrust: scheduler.scheduleFunction(inner.writeTrust),
    settled: async () => {},
  };
  const { deleteCa } = certificateService(portsOf(store));
  return { store, remove: async () => deleteCa({ caId } as never, undefined as never) };
}

test('a CA that is deleted, trusted anew and given a CRL at once: no CRL is lost, and none is left without its CA', async () => {
  const outcomes = new Set<string>();
  const scenario = fc.record({ anew: fc.constantFrom(0, 2), before: fc.boolean(), scheduler: fc.scheduler() });
  await fc.assert(
    fc.asyncProperty(scenario, async ({ anew, before, scheduler }) => {
      const { store, remove } = await disabled(scheduler);
      const calls = Promise.all([
        isDone(remove()),
        isDone(cas(trust, store).then(() => give(store, anew))),
        before ? isDone(give(store, 1)) : false,
      ]);
      await scheduler.waitFor(calls);
      const [isDeleted, isGiven] = await calls;
      const isThere = caIn((await inner.readTrust(CAS_KEY)) as TrustSet, caId) !== undefined;
      const hasCrl = crlIn((await inner.readTrust(key)) as TrustSet, caId) !== undefined;
      outcomes.add(`${isDeleted} ${isGiven}`);
      expect({ isThere, hasCrl: hasCrl || (isDeleted && !isGiven) }).toEqual({ isThere: true, hasCrl: true });
    }),
    { numRuns: 300, seed: 1 },
  );
  expect([...outcomes]).toEqual(expect.arrayContaining(['true true', 'false true']));
});

test.each([1, 0])('a CRL that comes while its CA is deleted does not outlive it (%s)', async (at) => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), async (scheduler) => {
      const { store, remove } = await disabled(scheduler);
      const calls = Promise.all([isDone(remove()), isDone(give(store, at))]);
      await scheduler.waitFor(calls);
      expect((await calls)[0]).toBe(true);
      expect(crlIn((await inner.readTrust(key)) as TrustSet, caId)).toBeUndefined();
    }),
    { numRuns: 60, seed: 1 },
  );
});
