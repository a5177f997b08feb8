import type { MetricsSnapshot, Ready } from '@latchkey/runtime';

/** What each worker knows of itself and all are asked about. */
export type Facts = { readonly HEALTH: boolean; readonly METRICS: MetricsSnapshot };

/** What can be asked about. */
export type About = keyof Facts;

/** One fact. */
export type Fact = Facts[About];

/** What a worker says to the process that started it: that it listens, what it would know of all, what it was asked. */
export type FromWorker =
  | { readonly kind: 'READY'; readonly ready: Ready }
  | { readonly kind: 'ASK'; readonly about: About }
  | { readonly kind: 'TELL'; readonly about: About; readonly fact: Fact };

/** What a worker is told: that it is asked, what all have said. */
export type ToWorker =
  | { readonly kind: 'ASK'; readonly about: About }
  | { readonly kind: 'ALL'; readonly about: About; readonly facts: readonly Fact[] };
