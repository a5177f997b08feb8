import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import type {
  AuthenticateStreamResponse_Answer as Answer,
  AuthenticateRequest,
  AuthenticateResponse,
  AuthenticateStreamRequest,
  AuthenticateStreamResponse,
} from '@latchkey/protocol/v1';
import { RpcError } from '@latchkey/rpc';

type Result = Answer['result'];
type Call = ServerDuplexStream<AuthenticateStreamRequest, AuthenticateStreamResponse>;

/** Streams at once: a gateway process has one, or a few. */
const MAX_STREAMS = 1_000;

/** Questions a message, as authentication.proto has it. */
const MAX_QUESTIONS = 256;

/** Questions of one stream that wait for the store; at so many it is not read from until half of them are answered. */
const MAX_OPEN = 4_096;

/** What the streams ask. */
export type Answering = {
  /** Decides on one attempt. Throws or rejects where no decision can be made. */
  readonly decide: (attempt: AuthenticateRequest) => AuthenticateResponse | Promise<AuthenticateResponse>;
  /** What a gateway may see of an error; it is noted for the operator. */
  readonly codeOf: (error: unknown) => status;
};

/** Serves AuthenticateStream: each question is answered as soon as it is decided, together with what else is ready then. */
export function createStreams(answering: Answering) {
  const streams = new Set<Stream>();
  return {
    /** Streams now. */
    count: () => streams.size,
    /** Opens one stream. Throws RESOURCE_EXHAUSTED. */
    open(call: Call): void {
      if (streams.size >= MAX_STREAMS) throw new RpcError(status.RESOURCE_EXHAUSTED, 'too many streams');
      const stream = new Stream(call, answering);
      streams.add(stream);
      call.once('close', () => streams.delete(stream));
    },
    /** Ends all streams once what was asked is answered: the gateways go to another replica. */
    close(): void {
      for (const stream of streams) stream.close();
    },
  };
}

/** One stream. What is decided at once is answered before the next message is read; what waits for the store holds up nothing. */
class Stream {
  readonly #call: Call;
  readonly #answering: Answering;
  #ready: Answer[] = [];
  #open = 0;
  #flushPlanned = false;
  #closing = false;

  constructor(call: Call, answering: Answering) {
    this.#call = call;
    this.#answering = answering;
    call.on('data', (request: AuthenticateStreamRequest) => this.#take(request));
    call.on('drain', () => this.#goOn());
    call.on('end', () => this.close());
  }

  /** Takes no more questions, and ends when the last one is answered. */
  close(): void {
    this.#closing = true;
    if (this.#open === 0) this.#call.end();
  }

  #take({ questions }: AuthenticateStreamRequest): void {
    if (questions.length === 0 || questions.length > MAX_QUESTIONS) {
      this.#call.emit('error', {
        code: status.INVALID_ARGUMENT,
        details: `questions: 1 to ${MAX_QUESTIONS} a message`,
      });
      return;
    }
    for (const { number, attempt } of questions) this.#ask(number, attempt);
    this.#flush();
    if (this.#open >= MAX_OPEN) this.#call.pause();
  }

  #ask(number: number, attempt: AuthenticateRequest | undefined): void {
    const result = this.#resultOf(attempt);
    if (result instanceof Promise) {
      this.#open += 1;
      void result.then((late) => this.#sayLate(number, late));
    } else this.#say(number, result);
  }

  #resultOf(attempt: AuthenticateRequest | undefined): Result | Promise<Result> {
    if (attempt === undefined) return noDecision(status.INVALID_ARGUMENT);
    if (this.#closing) return noDecision(status.UNAVAILABLE);
    const { decide, codeOf } = this.#answering;
    try {
      const response = decide(attempt);
      if (!(response instanceof Promise)) return { case: 'decision', value: response };
      return response.then(
        (value) => ({ case: 'decision', value }),
        (error: unknown) => noDecision(codeOf(error)),
      );
    } catch (error) {
      return noDecision(codeOf(error));
    }
  }

  #say(number: number, result: Result): void {
    this.#ready.push({ $typeName: 'latchkey.v1.AuthenticateStreamResponse.Answer', number, result });
  }

  /** Reads that came back together are answered together. */
  #sayLate(number: number, result: Result): void {
    this.#say(number, result);
    this.#open -= 1;
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    setImmediate(() => {
      this.#flushPlanned = false;
      this.#flush();
      if (this.#closing && this.#open === 0) this.#call.end();
      else this.#goOn();
    });
  }

  #flush(): void {
    const answers = this.#ready;
    if (answers.length === 0) return;
    this.#ready = [];
    const call = this.#call;
    if (call.cancelled || call.destroyed || call.writableEnded) return;
    // The reader's own backlog is what bounds this: while it does not read, no question is taken.
    if (!call.write({ $typeName: 'latchkey.v1.AuthenticateStreamResponse', answers })) call.pause();
  }

  #goOn(): void {
    if (!this.#call.writableNeedDrain && this.#open <= MAX_OPEN / 2) this.#call.resume();
  }
}

function noDecision(code: status): Result {
  return { case: 'noDecision', value: code };
}
