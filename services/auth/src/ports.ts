import type { Clock, Random } from '@latchkey/kernel';
import type { Store } from '@latchkey/store';
import type { Verifier } from '@latchkey/verifier';

/** What the operators' services work on. */
export type Ports = {
  readonly store: Store;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly random: Random;
};
