import type { Change, ChangeListener } from '../store.ts';

/** Who hears of changes in this process. */
export type Listeners = {
  /** Hears from now on; the returned function ends it. */
  readonly add: (listener: ChangeListener) => () => void;
  readonly tell: (change: Change) => void;
};

function notify(listener: ChangeListener, change: Change): void {
  try {
    listener.changed(change);
  } catch (error) {
    // It may have kept what it had to drop, so the process must not go on; yet the others must hear before it ends.
    process.nextTick(() => {
      throw error;
    });
  }
}

/** An empty set of listeners. */
export function makeListeners(): Listeners {
  const listeners = new Set<ChangeListener>();
  return {
    add: (listener) => {
      // A copy: one listener given twice hears twice, and each is ended on its own.
      const own = { ...listener };
      listeners.add(own);
      return () => {
        listeners.delete(own);
      };
    },
    tell: (change) => {
      for (const listener of listeners) notify(listener, change);
    },
  };
}
