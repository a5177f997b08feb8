import { describe } from 'vitest';
import type { MakeStore } from './contract/fixtures.ts';
import { lifetimeContract, resealContract, sealingContract } from './contract/keys.ts';
import { listenContract, logContract } from './contract/log.ts';
import { keepContract, listContract, overdueContract } from './contract/queries.ts';
import { concurrencyContract, recordContract, replayContract } from './contract/records.ts';
import { trustContract } from './contract/trust.ts';
import { usesContract } from './contract/uses.ts';

export { anyRevisions, anyState } from './contract/arbitrary.ts';
export type { MakeStore, StoreHarness } from './contract/fixtures.ts';
export { deviceOf, id, secretSlot, shown } from './contract/fixtures.ts';

/** What every store must do; run it in a test file over each implementation, the real thing behind it. */
export function storeContract(name: string, makeStore: MakeStore): void {
  describe(name, () => {
    recordContract(makeStore);
    concurrencyContract(makeStore);
    replayContract(makeStore);
    logContract(makeStore);
    listenContract(makeStore);
    listContract(makeStore);
    overdueContract(makeStore);
    trustContract(makeStore);
    usesContract(makeStore);
    keepContract(makeStore);
    sealingContract(makeStore);
    resealContract(makeStore);
    lifetimeContract(makeStore);
  });
}
