import { inspect } from 'node:util';

const REDACTED = '[secret]';

/**
 * Text that must not be seen. It prints, serialises and inspects as `[secret]`; `reveal` is the only way to it, so
 * that every use can be found by name.
 */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The text itself. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}
