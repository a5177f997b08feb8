import type { Clock, Random } from '@latchkey/kernel';
import type { Store } from '@latchkey/store';
import type { Verifier } from '@latchkey/verifier';

/** What the operators' services work on. */
export type Ports = {
  readonly store: Store;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly random: Random;
  /** How long a credential must not have been used before it is called safe to retire. */
  readonly quietMs: number;
};
