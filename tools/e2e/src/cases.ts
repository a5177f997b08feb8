import type { Outcome } from './edges.ts';
import { freeze, register, remove, resetSecret, retirePrimary, tryProof, unfreeze } from './operator.ts';
import { halt } from './processes.ts';
import type { Launched } from './system.ts';

/** What operators do, and which secrets the device then comes with and what becomes of it. */
type Step = {
  readonly does?: (system: Launched, deviceId: string) => Promise<unknown>;
  readonly shows: readonly (readonly [secret: string, outcome: Outcome])[];
};

/** What must hold over every protocol. */
export type Case = { readonly name: string; readonly steps: readonly Step[] };

const ONE = 'secret-number-1';
const TWO = 'secret-number-2';

const registered = (system: Launched, deviceId: string) => register(system, deviceId, ONE);
const secondarySet = async (system: Launched, deviceId: string) => {
  await register(system, deviceId, ONE);
  await resetSecret(system, deviceId, 'SECONDARY', TWO);
};

const AUTH = 'services/auth/src/main.ts';
const authHalts = async ({ launcher }: Launched) => halt(launcher.pid, AUTH, true);
const authGoesOn = async (system: Launched, deviceId: string) => {
  halt(system.launcher.pid, AUTH, false);
  await tryProof(system, deviceId, ONE); // it answers
};

/** The one table for all protocols. The last case halts the auth service, so none may run beside it. */
export const CASES: readonly Case[] = [
  { name: 'an unknown device is refused', steps: [{ shows: [[ONE, 'REFUSED']] }] },
  {
    name: 'the right secret gets in, another one does not',
    steps: [
      {
        does: registered,
        shows: [
          [TWO, 'REFUSED'],
          [ONE, 'IN'],
          [TWO, 'REFUSED'],
        ],
      },
    ],
  },
  {
    name: 'the secondary gets in as the primary does, where the protocol takes it',
    steps: [
      {
        does: secondarySet,
        shows: [
          [TWO, 'IN_BY_SECONDARY'],
          [ONE, 'IN'],
        ],
      },
    ],
  },
  {
    name: 'a reset of the primary ends the old secret',
    steps: [
      { does: registered, shows: [[ONE, 'IN']] },
      {
        does: (system, deviceId) => resetSecret(system, deviceId, 'PRIMARY', TWO),
        shows: [
          [ONE, 'REFUSED'],
          [TWO, 'IN'],
        ],
      },
    ],
  },
  {
    name: 'a retirement ends its secret alone',
    steps: [
      {
        does: secondarySet,
        shows: [
          [ONE, 'IN'],
          [TWO, 'IN_BY_SECONDARY'],
        ],
      },
      {
        does: retirePrimary,
        shows: [
          [ONE, 'REFUSED'],
          [TWO, 'IN_BY_SECONDARY'],
        ],
      },
    ],
  },
  {
    name: 'a frozen device is refused, and told so only with a right proof',
    steps: [
      { does: registered, shows: [[ONE, 'IN']] },
      {
        does: freeze,
        shows: [
          [ONE, 'FROZEN'],
          [TWO, 'REFUSED'],
        ],
      },
      { does: unfreeze, shows: [[ONE, 'IN']] },
    ],
  },
  {
    name: 'a deleted device is refused, and can be registered anew',
    steps: [
      { does: registered, shows: [[ONE, 'IN']] },
      { does: remove, shows: [[ONE, 'REFUSED']] },
      {
        does: (system, deviceId) => register(system, deviceId, TWO),
        shows: [
          [ONE, 'REFUSED'],
          [TWO, 'IN'],
        ],
      },
    ],
  },
  {
    name: 'without a decision nobody is refused for good',
    steps: [
      { does: registered, shows: [[ONE, 'IN']] },
      {
        does: authHalts,
        shows: [
          [ONE, 'NO_DECISION'],
          [TWO, 'NO_DECISION'],
        ],
      },
      { does: authGoesOn, shows: [[TWO, 'REFUSED']] },
    ],
  },
];
