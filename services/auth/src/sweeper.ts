import { activationDeadlineMs } from '@latchkey/credential';
import type { Clock } from '@latchkey/kernel';
import type { Log } from '@latchkey/runtime';
import type { Store } from '@latchkey/store';

/** How often devices are looked for that were not activated in time; they are refused from the first moment on all the same. */
const SWEEP_EVERY_MS = 10_000;

/** Devices a sweep: more wait for the next one, so that a sweep never crowds out questions. */
const SWEEP_LIMIT = 500;

/** Deletes devices that were not activated within their activation timeout, only if they still are not. */
export function startSweeper({ store, clock, log }: { store: Store; clock: Clock; log: Log }): () => void {
  let running = false;
  const timer = setInterval(async () => {
    if (running) return;
    running = true;
    try {
      await sweep(store, clock, log);
    } catch (error) {
      log.warn({ err: error }, 'the sweep of devices that were not activated in time has to wait');
    } finally {
      running = false;
    }
  }, SWEEP_EVERY_MS);
  return () => clearInterval(timer);
}

/** One sweep; the number of devices that it deleted. */
export async function sweep(store: Store, clock: Clock, log: Log): Promise<number> {
  let deleted = 0;
  for (const deviceId of await store.overdue(clock.now(), SWEEP_LIMIT)) {
    const record = await store.read(deviceId);
    const deadlineMs = record && activationDeadlineMs(record);
    if (record === undefined || deadlineMs === undefined || clock.now() < deadlineMs) continue;
    const { outcome } = await store.write({
      deviceId,
      expectedRevision: record.revision,
      state: undefined,
      kind: 'DELETED',
      effect: { close: 'DEVICE' },
      replay: undefined,
    });
    if (outcome !== 'WRITTEN') continue;
    deleted += 1;
    log.info({ deviceId }, 'deleted: not activated within its timeout');
  }
  return deleted;
}
