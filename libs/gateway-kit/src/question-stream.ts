import { type ClientDuplexStream, status } from '@grpc/grpc-js';
import type {
  AuthenticateRequest,
  AuthenticateResponse,
  AuthenticateStreamRequest,
  AuthenticateStreamResponse,
} from '@latchkey/protocol/v1';
import { RpcError } from '@latchkey/rpc';
import { statusOf } from './status.ts';

/** Questions a message, as authentication.proto has it. */
const MAX_QUESTIONS = 256;

/** Certificates in a message, bytes: the longest chain that may be asked about. The service takes messages of twice that. */
const MAX_CHAIN_BYTES = 131_072;

/** How long a service that does not know the stream is asked call by call: it may be replaced by a newer one. */
const UNARY_MS = 60_000;

const MAX_NUMBER = 0xffff_ffff;

type Stream = ClientDuplexStream<AuthenticateStreamRequest, AuthenticateStreamResponse>;

/** How one attempt is asked; it rejects with an error that has a gRPC status code. */
export type Ask = (request: AuthenticateRequest, deadlineMs: number) => Promise<AuthenticateResponse>;

/** What a question stream needs. */
export type QuestionStreamOptions = {
  readonly open: () => Stream;
  /** Asks by a call of its own. */
  readonly unary: Ask;
  readonly monotonic: () => number;
};

type Question = {
  readonly number: number;
  readonly attempt: AuthenticateRequest;
  readonly endsAtMs: number;
  readonly resolve: (response: AuthenticateResponse | Promise<AuthenticateResponse>) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
};

/**
 * Asks one replica over AuthenticateStream. What is asked within one turn of the event loop, or while the stream takes
 * no more, goes out together; a lone question goes out at once. A stream that is lost takes no answer with it: each of
 * its questions rejects with UNAVAILABLE, and the next question opens another one. Callers bound what is open.
 */
export class QuestionStream {
  readonly #options: QuestionStreamOptions;
  /** Asked and not answered, by number; those that are still to be sent as well. */
  readonly #open = new Map<number, Question>();
  #unsent: Question[] = [];
  #stream: Stream | undefined;
  #sendPlanned = false;
  #next = 0;
  #unaryUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: QuestionStreamOptions) {
    this.#options = options;
  }

  /** Asks one attempt. Rejects with DEADLINE_EXCEEDED after so many milliseconds, or with the code of no decision. */
  readonly ask: Ask = (attempt, deadlineMs) => {
    const { monotonic, unary } = this.#options;
    const nowMs = monotonic();
    if (nowMs < this.#unaryUntilMs) return unary(attempt, deadlineMs);
    return new Promise((resolve, reject) => {
      const number = this.#newNumber();
      const timer = setTimeout(() => this.#late(number), deadlineMs);
      const question = { number, attempt, endsAtMs: nowMs + deadlineMs, resolve, reject, timer };
      this.#open.set(number, question);
      this.#unsent.push(question);
      this.#plan();
    });
  };

  /** Ends the stream; every question that is open rejects. */
  close(): void {
    this.#stream?.cancel();
    this.#fail(status.UNAVAILABLE, 'the client is closed');
  }

  #newNumber(): number {
    do this.#next = this.#next === MAX_NUMBER ? 0 : this.#next + 1;
    while (this.#open.has(this.#next));
    return this.#next;
  }

  #plan(): void {
    if (this.#sendPlanned) return;
    this.#sendPlanned = true;
    // Not sooner: the packets of many devices are read in the same turn.
    setImmediate(() => {
      this.#sendPlanned = false;
      this.#send();
    });
  }

  #send(): void {
    while (this.#unsent.length > 0) {
      const batch = this.#nextBatch();
      if (batch.length === 0) continue; // all of it is too late
      const stream = this.#stream ?? this.#connect();
      const questions = batch.map(({ number, attempt }) => ({ $typeName: QUESTION, number, attempt }) as const);
      // What follows waits for 'drain', and is one batch then.
      if (!stream.write({ $typeName: REQUEST, questions })) return;
    }
  }

  #nextBatch(): readonly Question[] {
    const batch: Question[] = [];
    let [taken, bytes] = [0, 0];
    for (const question of this.#unsent.slice(0, MAX_QUESTIONS)) {
      bytes += chainBytes(question.attempt);
      if (batch.length > 0 && bytes > MAX_CHAIN_BYTES) break;
      taken += 1;
      if (this.#open.has(question.number)) batch.push(question);
    }
    this.#unsent.splice(0, taken);
    return batch;
  }

  #connect(): Stream {
    const stream = this.#options.open();
    this.#stream = stream;
    stream.on('data', (response: AuthenticateStreamResponse) => this.#hear(response));
    stream.on('drain', () => this.#send());
    stream.on('error', (error) => this.#lost(stream, statusOf(error) ?? status.UNAVAILABLE, error.message));
    stream.on('end', () => {
      this.#lost(stream, status.UNAVAILABLE, 'the replica is stopping');
      stream.end();
    });
    return stream;
  }

  #hear({ answers }: AuthenticateStreamResponse): void {
    for (const { number, result } of answers) {
      const question = this.#take(number);
      if (result.case === 'decision') question?.resolve(result.value);
      else question?.reject(new RpcError(result.value ?? status.UNKNOWN, 'no decision'));
    }
  }

  #lost(stream: Stream, code: status, message: string): void {
    if (stream !== this.#stream) return;
    this.#stream = undefined;
    if (code === status.UNIMPLEMENTED) this.#askByCalls();
    else this.#fail(code === status.CANCELLED ? status.UNAVAILABLE : code, message);
  }

  #askByCalls(): void {
    const { monotonic, unary } = this.#options;
    const nowMs = monotonic();
    this.#unaryUntilMs = nowMs + UNARY_MS;
    for (const { number, attempt, endsAtMs } of [...this.#open.values()]) {
      this.#take(number)?.resolve(unary(attempt, Math.max(0, endsAtMs - nowMs)));
    }
  }

  #fail(code: status, message: string): void {
    for (const number of [...this.#open.keys()]) this.#take(number)?.reject(new RpcError(code, message));
  }

  #late(number: number): void {
    this.#take(number)?.reject(new RpcError(status.DEADLINE_EXCEEDED, 'no answer in time'));
  }

  #take(number: number): Question | undefined {
    const question = this.#open.get(number);
    if (question === undefined) return undefined; // answered late
    this.#open.delete(number);
    clearTimeout(question.timer);
    return question;
  }
}

function chainBytes({ proof }: AuthenticateRequest): number {
  if (proof?.kind.case !== 'certificate') return 0;
  return proof.kind.value.chain.reduce((sum, { length }) => sum + length, 0);
}

const REQUEST = 'latchkey.v1.AuthenticateStreamRequest';
const QUESTION = 'latchkey.v1.AuthenticateStreamRequest.Question';
