import type { AuthClient } from '@latchkey/gateway-kit';
import type { AuthenticateRequest } from '@latchkey/protocol/v1';
import { MAX_OPEN } from './fixed-rates.ts';
import { connectGateway } from './gateway-client.ts';

/** Devices that connect at the same time, at one gateway: so many questions are open. */
const IN_FLIGHT = 256;

/** Asks through the gateway kit. */
export class Asker {
  readonly #auth: AuthClient;
  readonly #attempts: readonly AuthenticateRequest[];
  #next = 0;

  constructor(address: string, attempts: readonly AuthenticateRequest[]) {
    this.#auth = connectGateway(address, MAX_OPEN + IN_FLIGHT);
    this.#attempts = attempts;
  }

  /** Asks for so many milliseconds, with many questions open all the time; answers how many were granted. Rejects when one is not. */
  askFor(ms: number): Promise<number> {
    const endMs = performance.now() + ms;
    return this.#askWhile(() => performance.now() < endMs);
  }

  /** Asks so many times. Rejects as `askFor` does. */
  async askTimes(times: number): Promise<void> {
    let left = times;
    await this.#askWhile(() => left-- > 0);
  }

  /** Asks once; answers whether there was a decision. Rejects when it was not a grant. */
  async ask(): Promise<boolean> {
    const attempt = this.#attempts[this.#next++ % this.#attempts.length];
    const { decision } = await this.#auth.authenticate(attempt ?? {});
    if (decision === 'DENIED') throw new Error('a right proof was denied');
    return decision === 'GRANTED';
  }

  /** Ends the connections. */
  close(): void {
    this.#auth.close();
  }

  async #askWhile(goesOn: () => boolean): Promise<number> {
    let asked = 0;
    const lane = async () => {
      for (; goesOn(); asked++) if (!(await this.ask())) throw new Error('a right proof got no decision');
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
    return asked;
  }
}
