import { CAS_KEY } from '@latchkey/credential';
import type { Clock } from '@latchkey/kernel';
import { Gauge, type Log, type Registry } from '@latchkey/runtime';
import type { Store } from '@latchkey/store';
import { withCrls } from './crls.ts';

/** How often CRLs are looked at: they are due after hours or days. */
const LOOK_EVERY_MS = 60_000;

/** What the watch needs. */
export type CrlWatchOptions = {
  readonly store: Pick<Store, 'readTrust'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly registry: Registry;
  readonly log: Log;
};

/** Tells of CRLs whose next one is overdue, by a metric and, once for each, in the log. They go on revoking. */
export function startCrlWatch(options: CrlWatchOptions): () => void {
  const look = createCrlLook(options);
  const begin = () =>
    void look().catch((error: unknown) => options.log.warn({ err: error }, 'CRLs are looked at later'));
  begin();
  const timer = setInterval(begin, LOOK_EVERY_MS);
  return () => clearInterval(timer);
}

/** One look at all CRLs, to be repeated. Rejects as the store does. */
export function createCrlLook({ store, clock, registry, log }: CrlWatchOptions): () => Promise<void> {
  const gauge = new Gauge({
    name: 'latchkey_crls',
    help: 'CRLs that are kept, by state: current, or expired (the next one is overdue; it goes on revoking).',
    labelNames: ['state'],
    registers: [registry],
  });
  let told: ReadonlySet<string> = new Set();
  return async () => {
    const { cas = [] } = (await store.readTrust(CAS_KEY)) ?? {};
    const crls = (await withCrls(store, cas)).map(({ crl }) => crl).filter((crl) => crl !== undefined);
    const expired = crls.filter(({ nextUpdateMs }) => nextUpdateMs < clock.now());
    gauge.set({ state: 'current' }, crls.length - expired.length);
    gauge.set({ state: 'expired' }, expired.length);
    for (const { caId, nextUpdateMs } of expired) {
      const nextUpdate = new Date(nextUpdateMs).toISOString();
      if (!told.has(caId)) log.warn({ caId, nextUpdate }, 'the CRL of a CA is out of date: give a newer one');
    }
    told = new Set(expired.map(({ caId }) => caId));
  };
}
