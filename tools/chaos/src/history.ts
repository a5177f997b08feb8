/** The two places of a device's secrets. */
export type SlotName = 'PRIMARY' | 'SECONDARY';

/** What an operator does to a device. */
export type ChangeAct = 'CREATE' | 'RESET' | 'RETIRE' | 'FREEZE' | 'UNFREEZE' | 'DELETE';

/**
 * One change of one device. Times are microseconds of CLOCK_MONOTONIC, the same for all processes of a machine. A
 * change that makes a secret gives it its own number.
 */
export type Change = {
  /** Its place in the history's list of changes, from 0. */
  readonly id: number;
  readonly device: number;
  readonly act: ChangeAct;
  /** The one place that it is about: a creation and a reset put a new secret there, a retirement empties it. */
  readonly slot: SlotName | undefined;
  /** It closes every session of the device, as a freeze and a deletion do anyway. */
  readonly forced: boolean;
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
  /** What it made, or what it found if nothing was to be done; if it was answered and the answer tells. */
  revision: number | undefined;
};

/** One question about a device, or one CONNECT, and what came back. */
export type Decision = {
  readonly device: number;
  /** Who answered, as `replica 1` or `gateway 0`. */
  readonly by: string;
  /** The change that made the secret which was shown. */
  readonly secret: number;
  readonly beginUs: number;
  readonly endUs: number;
  /** When the replica decided, as it tells; undefined: it did not tell. */
  readonly decidedUs: number | undefined;
  /** NONE: no decision was made, which is never wrong. */
  readonly outcome: 'GRANTED' | 'DENIED' | 'NONE';
  /** The revision that a grant was decided on; undefined: it was not told. */
  readonly revision: number | undefined;
};

/** One link of a device that a gateway let in. */
export type Session = {
  readonly device: number;
  readonly gateway: number;
  /** The change that made the secret which it was opened with. */
  readonly secret: number;
  /** When the device sent its CONNECT, and when it had the CONNACK. */
  readonly beginUs: number;
  readonly openUs: number;
  /** When the device saw its link end; undefined: it was open at the end of the history. */
  closeUs: number | undefined;
  /** The other side ended it. */
  kicked: boolean;
};

/** A span in which a gateway may not have heard of changes: it, its replica, their Redis or what is between was upset. */
export type Trouble = { readonly gateway: number; readonly beginUs: number; readonly endUs: number };

/** All that happened in a run. */
export type History = {
  readonly changes: readonly Change[];
  readonly decisions: readonly Decision[];
  readonly sessions: readonly Session[];
  readonly troubles: readonly Trouble[];
  /** When the history ends. */
  readonly endUs: number;
};

/** Whether a change puts a secret of its own into a slot. */
export function makesSecret(act: ChangeAct): boolean {
  return act === 'CREATE' || act === 'RESET';
}

/** Whether a change was answered without a write: all was as it asked for, before anything else on that revision. */
export function foundDone({ revision, builtOn }: Change): boolean {
  return revision === builtOn;
}

/** This moment, in microseconds of CLOCK_MONOTONIC. */
export function nowUs(): number {
  return Number(process.hrtime.bigint() / 1_000n);
}
