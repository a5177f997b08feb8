import { executionAsyncResource } from 'node:async_hooks';

const kept: object[] = [];

/**
 * Keeps one of the objects that Node makes for each `process.nextTick`, as long as the process lives; answers it (ADR 0030).
 * V8 forgets the shape of an object when a collection finds none of it alive, and takes the next one for another shape; once it has
 * met two, it fills Node's literal by the slow road for good, and a tick costs more than ten times as much.
 */
export function keepTickShape(): Promise<object> {
  return new Promise((resolve) => {
    process.nextTick(() => {
      const tick = executionAsyncResource();
      kept.push(tick);
      resolve(tick);
    });
  });
}
