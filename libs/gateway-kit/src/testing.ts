import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Server, ServerCredentials, type ServerDuplexStream, type ServerWritableStream, status } from '@grpc/grpc-js';
import { systemClock } from '@latchkey/kernel';
import { freePort } from '@latchkey/kernel/testing';
import {
  type AuthenticateRequest,
  AuthenticateResponseSchema,
  type AuthenticateStreamRequest,
  type AuthenticateStreamResponse,
  AuthenticateStreamResponseSchema,
  AuthenticationService,
  type ChangeSchema,
  type CheckSessionsRequest,
  CheckSessionsResponseSchema,
  type DenyReason,
  type DerivePskSecretRequest,
  DerivePskSecretResponseSchema,
  GetReplicaResponseSchema,
  MintTokenResponseSchema,
  type SessionStanding,
  type WatchChangesRequest,
  type WatchChangesResponse,
  WatchChangesResponseSchema,
} from '@latchkey/protocol/v1';
import { addHealth, addService, type HealthSwitch, RpcError } from '@latchkey/rpc';

/** What a table says of an attempt. */
export type TableAnswer = MessageInitShape<typeof AuthenticateResponseSchema>;

/** What a table says of an attempt that shall get a token. */
export type TableMinting = MessageInitShape<typeof MintTokenResponseSchema>;

/** What a table says of a DTLS handshake. */
export type TableSecrets = MessageInitShape<typeof DerivePskSecretResponseSchema>;

type Asker = ServerDuplexStream<AuthenticateStreamRequest, AuthenticateStreamResponse>;
type AnswerResult = { case: 'decision'; value: TableAnswer } | { case: 'noDecision'; value: number };
type Watcher = ServerWritableStream<WatchChangesRequest, WatchChangesResponse>;
type WatchEvent = NonNullable<MessageInitShape<typeof WatchChangesResponseSchema>['event']>;

/** Beats more often than the real service, so that tests are short. */
const BEAT_MS = 50;

/** A grant. */
export function granted(credentialId: string, revision: bigint): TableAnswer {
  return { decision: { case: 'granted', value: { credentialId, revision } } };
}

/** A denial. */
export function denied(reason: DenyReason): TableAnswer {
  return { decision: { case: 'denied', value: { reason } } };
}

/** A real gRPC server for the tests of gateways, which answers from what the test sets. */
export class TableAuth {
  /** Answers an attempt; throws what the caller is to get as an error. */
  answer: (attempt: AuthenticateRequest) => TableAnswer | Promise<TableAnswer> = () => {
    throw new RpcError(status.INTERNAL, 'the test sets no answer');
  };
  /** Answers DerivePskSecret; throws like `answer`. */
  derive: (request: DerivePskSecretRequest) => TableSecrets | Promise<TableSecrets> = () => {
    throw new RpcError(status.INTERNAL, 'the test sets no secret');
  };
  /** Answers an attempt that shall get a token. */
  mint: (attempt: AuthenticateRequest) => TableMinting | Promise<TableMinting> = () => {
    throw new RpcError(status.INTERNAL, 'the test sets no answer');
  };
  /** Answers CheckSessions; undefined: UNIMPLEMENTED. */
  check:
    | ((request: CheckSessionsRequest) => readonly SessionStanding[] | Promise<readonly SessionStanding[]>)
    | undefined;
  /** False: it knows no AuthenticateStream, as a service of an older version. */
  streaming = true;
  /** The number of questions in each message of a stream, in their order. */
  readonly batches: number[] = [];
  /** What it says of itself; undefined: UNIMPLEMENTED, as a service of an older version. */
  identify: (() => { readonly replicaId: string; readonly sharing: number }) | undefined;
  /** What its beats say of logs that it cannot follow; undefined: it follows all. */
  silent: { readonly shardCount: number; readonly silentShards: number[] } | undefined;
  /** False: open streams of changes fall silent. */
  beating = true;
  /** False: a cursor is refused. */
  readsCursors = true;
  /** The cursors that watchers came with. */
  readonly cursors: string[] = [];
  readonly #events: WatchEvent[] = [];
  readonly #watchers = new Set<Watcher>();
  #server: Server | undefined;
  #health: HealthSwitch | undefined;
  #serving = true;
  #beat: NodeJS.Timeout | undefined;

  /** Listens, on a free port unless given. Answers the port. */
  async start(given?: number): Promise<number> {
    const port = given ?? (await freePort());
    const server = new Server();
    addService(
      server,
      AuthenticationService,
      {
        authenticate: async (request) => create(AuthenticateResponseSchema, await this.answer(request)),
        derivePskSecret: async (request) => create(DerivePskSecretResponseSchema, await this.derive(request)),
        mintToken: async ({ attempt }) => {
          if (attempt === undefined) throw new RpcError(status.INVALID_ARGUMENT, 'attempt: it is missing');
          return create(MintTokenResponseSchema, await this.mint(attempt));
        },
        authenticateStream: (call) => this.#answer(call),
        checkSessions: async (request) => {
          if (this.check === undefined) throw new RpcError(status.UNIMPLEMENTED, 'not served');
          return create(CheckSessionsResponseSchema, { standings: [...(await this.check(request))] });
        },
        getReplica: () => {
          if (this.identify === undefined) throw new RpcError(status.UNIMPLEMENTED, 'not served');
          return create(GetReplicaResponseSchema, this.identify());
        },
        watchChanges: (request, call) => this.#watch(request.cursor, call),
      },
      { translate: () => undefined, observe: () => undefined, monotonic: systemClock.monotonic },
    );
    this.#health = addHealth(server, [AuthenticationService]);
    this.serving = this.#serving;
    this.#server = server;
    this.#beat = setInterval(() => this.#send(this.#beatNow()), BEAT_MS);
    return new Promise((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
  }

  /** What it says of its health. */
  set serving(serving: boolean) {
    this.#serving = serving;
    this.#health?.set(AuthenticationService, serving);
  }

  /** Goes away at once, as a killed service does; `start` brings it back with the same log. */
  stop(): void {
    clearInterval(this.#beat);
    this.#watchers.clear();
    this.#server?.forceShutdown();
    this.#server = undefined;
  }

  /** Ends the open streams; their watchers may come again. */
  dropWatchers(): void {
    for (const call of this.#watchers) call.end();
    this.#watchers.clear();
  }

  /** Writes a change to the log and tells whoever watches. */
  change(change: MessageInitShape<typeof ChangeSchema>): void {
    this.publish({ case: 'change', value: change });
  }

  /** Writes any event to the log and tells whoever watches. */
  publish(event: WatchEvent): void {
    this.#events.push(event);
    for (const call of this.#watchers) this.#write(call, this.#events.length, event);
  }

  #answer(call: Asker): void {
    if (!this.streaming) throw new RpcError(status.UNIMPLEMENTED, 'not served');
    call.on('data', ({ questions }: AuthenticateStreamRequest) => {
      this.batches.push(questions.length);
      for (const { number, attempt } of questions) {
        const say = (result: AnswerResult) =>
          call.write(create(AuthenticateStreamResponseSchema, { answers: [{ number, result }] }));
        void this.#decide(attempt).then(say);
      }
    });
    call.on('end', () => call.end());
  }

  async #decide(attempt: AuthenticateRequest | undefined): Promise<AnswerResult> {
    try {
      if (attempt === undefined) throw new RpcError(status.INVALID_ARGUMENT, 'no attempt');
      return { case: 'decision', value: await this.answer(attempt) };
    } catch (error) {
      return { case: 'noDecision', value: error instanceof RpcError ? error.code : status.INTERNAL };
    }
  }

  #watch(cursor: string, call: Watcher): void {
    this.cursors.push(cursor);
    if (cursor !== '' && !this.readsCursors)
      throw new RpcError(status.INVALID_ARGUMENT, 'cursor: not one of this service');
    const from = cursor === '' ? this.#events.length : Number(cursor);
    this.#watchers.add(call);
    call.on('cancelled', () => this.#watchers.delete(call));
    if (!this.beating) return;
    this.#write(call, from, this.#beatNow());
    for (let place = from; place < this.#events.length; place++) {
      this.#write(call, place + 1, this.#events[place] ?? { case: 'beat', value: {} });
    }
  }

  #beatNow(): WatchEvent {
    if (this.silent === undefined) return { case: 'beat', value: {} };
    return { case: 'partialBeat', value: this.silent };
  }

  #send(event: WatchEvent): void {
    if (this.beating) for (const call of this.#watchers) this.#write(call, this.#events.length, event);
  }

  #write(call: Watcher, place: number, event: WatchEvent): void {
    call.write(create(WatchChangesResponseSchema, { cursor: String(place), event }));
  }
}
