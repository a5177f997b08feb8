/** The two places of a device's secrets. */
export type SlotName = 'PRIMARY' | 'SECONDARY';

/** What an operator does to a device. */
export type ChangeAct = 'CREATE' | 'RESET' | 'FREEZE' | 'UNFREEZE' | 'DELETE';

/**
 * One change of one device. Times are microseconds of CLOCK_MONOTONIC, the same for all processes of a machine. A
 * change that makes a secret gives it its own number.
 */
export type Change = {
  /** Its place in the history's list of changes, from 0. */
  readonly id: number;
  readonly device: number;
  readonly act: ChangeAct;
  /** Where it puts a new secret; undefined: it makes none. */
  readonly slot: SlotName | undefined;
  /**
   * The revision that it may be written on; on any other it has no effect, however late it comes. Of two changes of a
   * device the one that is built on the higher revision came later, and of two on the same only one was written.
   */
  readonly builtOn: number;
  readonly beginUs: number;
  /** When its caller had the answer; undefined: none was awaited any more. */
  endUs: number | undefined;
  /** OK: it was answered; UNKNOWN: it may have been written, or still be; REFUSED: it never was. */
  outcome: 'OK' | 'UNKNOWN' | 'REFUSED';
  /** What it made, if it was answered and the answer tells. */
  revision: number | undefined;
};

/** One question about a device and what came back. */
export type Decision = {
  readonly device: number;
  readonly replica: number;
  /** The change that made the secret which was shown. */
  readonly secret: number;
  readonly beginUs: number;
  readonly endUs: number;
  /** When the replica decided, as it tells; undefined: it did not tell. */
  readonly decidedUs: number | undefined;
  /** NONE: no decision was made, which is never wrong. */
  readonly outcome: 'GRANTED' | 'DENIED' | 'NONE';
  /** The revision that a grant was decided on; 0 for the others. */
  readonly revision: number;
};

/** All that happened in a run. */
export type History = { readonly changes: readonly Change[]; readonly decisions: readonly Decision[] };

/** This moment, in microseconds of CLOCK_MONOTONIC. */
export function nowUs(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}
