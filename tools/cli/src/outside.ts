/** What a command is given of the world. */
export type Outside = {
  /** Writes to standard output. */
  readonly print: (text: string) => void;
  /** Writes to standard error. */
  readonly complain: (text: string) => void;
  /** Reads standard input to its end. */
  readonly readInput: () => Promise<string>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** A new UUID. */
  readonly uuid: () => string;
  /** The operator's token, when the environment has it. */
  readonly token: string | undefined;
};
