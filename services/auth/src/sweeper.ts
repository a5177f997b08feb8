import { activationDeadlineMs } from '@latchkey/credential';
import type { Clock, DeviceId } from '@latchkey/kernel';
import type { Log } from '@latchkey/runtime';
import type { Store } from '@latchkey/store';
import { carryOutRetirement } from './writes.ts';

/** How often devices are looked for whose time is up; what it took is refused from the first moment on all the same. */
const SWEEP_EVERY_MS = 10_000;

/** Devices of a step, written together so that they share a sync of the disk. */
const STEP_DEVICES = 100;

/** Steps of a sweep: 10,000 devices; more wait for the next one, so that a sweep never crowds out questions. */
const MAX_STEPS = 100;

/**
 * Deletes devices that were not activated within their activation timeout, only if they still are not, and empties slots
 * whose retirement is due.
 */
export function startSweeper({ store, clock, log }: { store: Store; clock: Clock; log: Log }): () => void {
  let running = false;
  const timer = setInterval(async () => {
    if (running) return;
    running = true;
    try {
      await sweep(store, clock, log);
    } catch (error) {
      log.warn({ err: error }, 'the sweep of devices whose time is up has to wait');
    } finally {
      running = false;
    }
  }, SWEEP_EVERY_MS);
  return () => clearInterval(timer);
}

/** One sweep; the number of devices that it changed or deleted. */
export async function sweep(store: Store, clock: Clock, log: Log): Promise<number> {
  let swept = 0;
  for (let step = 0; step < MAX_STEPS; step++) {
    const deviceIds = await store.overdue(clock.now(), STEP_DEVICES);
    const done = await Promise.all(deviceIds.map((deviceId) => sweepDevice(store, clock, log, deviceId)));
    const count = done.filter(Boolean).length;
    swept += count;
    // Without progress the same devices would come again: others write them.
    if (deviceIds.length < STEP_DEVICES || count === 0) break;
  }
  return swept;
}

async function sweepDevice(store: Store, clock: Clock, log: Log, deviceId: DeviceId): Promise<boolean> {
  const record = await store.read(deviceId);
  if (record === undefined) return false;
  const deadlineMs = activationDeadlineMs(record);
  if (deadlineMs === undefined || clock.now() < deadlineMs) {
    const retired = (await carryOutRetirement(store, record, clock.now())) === true;
    if (retired) log.info({ deviceId }, 'retired: the deadline of a credential has passed');
    return retired;
  }
  const { outcome } = await store.write({
    deviceId,
    expectedRevision: record.revision,
    state: undefined,
    kind: 'DELETED',
    effect: { close: 'DEVICE' },
    replay: undefined,
  });
  if (outcome !== 'WRITTEN') return false;
  log.info({ deviceId }, 'deleted: not activated within its timeout');
  return true;
}
