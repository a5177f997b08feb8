import { CAS_KEY, caIdOf, crlKeyOf, NOTHING_TRUSTED, type TrustSet, takeCrl } from '@latchkey/credential';
import { crlOf, DAY_MS, issue, NOW_MS } from '@latchkey/credential/testing';
import { createRegistry } from '@latchkey/runtime';
import { expect, test } from 'vitest';
import { createCrlLook } from './crl-watch.ts';
import { keptLog } from './test-stores.ts';

test('a CRL whose next one is overdue is counted, and told once', async () => {
  const ca = await issue('ca', { ca: true });
  const { certificate } = ca;
  const crls = takeCrl(NOTHING_TRUSTED, {
    ca: certificate,
    bytes: await crlOf(ca, [], NOW_MS),
    nowMs: NOW_MS,
  }) as TrustSet;
  const known = { caId: caIdOf(certificate), der: ca.der, status: 'TRUSTED', verifyCode: '' } as const;
  const sets: Record<string, TrustSet> = {
    [CAS_KEY]: { ...NOTHING_TRUSTED, cas: [known] },
    [crlKeyOf(certificate) ?? '']: crls,
  };
  let nowMs = NOW_MS;
  const registry = createRegistry('auth');
  const { log, logged } = keptLog();
  const store = { readTrust: async (key: string) => sets[key] as never };
  const look = createCrlLook({ store, clock: { now: () => nowMs }, registry, log });
  const counts = async () => {
    await look();
    const { values = [] } = (await registry.getSingleMetric('latchkey_crls')?.get()) ?? {};
    return [values.map(({ labels, value }) => [labels['state'], value]), logged().split('out of date').length - 1];
  };
  const [current, expired] = [
    [
      ['current', 1],
      ['expired', 0],
    ],
    [
      ['current', 0],
      ['expired', 1],
    ],
  ];
  expect(await counts()).toEqual([current, 0]);
  nowMs += DAY_MS + 1_000;
  expect([await counts(), await counts()]).toEqual([
    [expired, 1],
    [expired, 1],
  ]);
  nowMs = NOW_MS;
  expect(await counts()).toEqual([current, 1]);
});
