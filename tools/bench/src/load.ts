import { Client, credentials, status } from '@grpc/grpc-js';
import { AuthenticationService } from '@latchkey/protocol/v1';

/** Calls in flight over all connections: enough that the server always has one to do. */
export const IN_FLIGHT = 64;
export const CONNECTIONS = 2;

/** As a gateway sets it on every call: the server keeps a timer for it. */
const DEADLINE_MS = 2_000;

/** How often a call that is not measured may go without an answer: a machine that others use stands still for seconds. */
const TRIES = 5;

/** What says that there is no answer, or not in time. */
const NO_ANSWER: ReadonlySet<number> = new Set([
  status.DEADLINE_EXCEEDED,
  status.RESOURCE_EXHAUSTED,
  status.UNAVAILABLE,
]);

const { authenticate } = AuthenticationService.method;
/** The path of Authenticate. */
export const PATH = `/${authenticate.parent.typeName}/${authenticate.name}`;

/** Connections to one server, and the requests that go round over them, encoded beforehand. */
export type Load = {
  readonly address: string;
  readonly requests: readonly Buffer[];
  /** Whether an encoded response is what it should be. */
  readonly isRight: (response: Buffer) => boolean;
};

/** Calls Authenticate again and again. */
export class Caller {
  readonly #load: Load;
  readonly #clients: readonly Client[];
  #next = 0;

  constructor(load: Load) {
    this.#load = load;
    this.#clients = Array.from(
      { length: CONNECTIONS },
      () => new Client(load.address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 }),
    );
  }

  /** Calls for so many milliseconds; answers how many calls were answered. Rejects on the first error or wrong answer. */
  async callFor(durationMs: number): Promise<number> {
    const endMs = performance.now() + durationMs;
    return this.#callWhile(() => performance.now() < endMs, 1);
  }

  /** Calls so many times, again where no answer came, which is not measured. Rejects as `callFor` does. */
  async callTimes(times: number): Promise<void> {
    let left = times;
    await this.#callWhile(() => left-- > 0, TRIES);
  }

  /** Ends the connections. */
  close(): void {
    for (const client of this.#clients) client.close();
  }

  /** Calls once; answers whether there was an answer. Rejects when it was a wrong one. */
  ask(): Promise<boolean> {
    return this.#ask(this.#next++);
  }

  #ask(index: number): Promise<boolean> {
    const { requests, isRight } = this.#load;
    const [client, request] = [this.#clients[index % CONNECTIONS], requests[index % requests.length]];
    if (client === undefined || request === undefined) throw new RangeError('there is nothing to call with');
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        PATH,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        request,
        { deadline: Date.now() + DEADLINE_MS },
        (error, response) => {
          if (error && NO_ANSWER.has(error.code)) resolve(false);
          else if (error) reject(error);
          else if (response === undefined || !isRight(response)) reject(new Error('a right proof was not granted'));
          else resolve(true);
        },
      );
    });
  }

  async #callWhile(goesOn: () => boolean, tries: number): Promise<number> {
    let calls = 0;
    const lane = async () => {
      for (; goesOn(); calls++) await this.#answered(this.#next++, tries);
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
    return calls;
  }

  async #answered(index: number, tries: number): Promise<void> {
    for (let left = tries; left > 0; left--) if (await this.#ask(index)) return;
    throw new Error('a call was not answered');
  }
}
