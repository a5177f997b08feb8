import { setTimeout as wait } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { Client, type ClientReadableStream, credentials, status } from '@grpc/grpc-js';
import type { Clock, Random } from '@latchkey/kernel';
import { Health, HealthCheckRequestSchema, HealthCheckResponse_ServingStatus } from '@latchkey/protocol/health';
import {
  AuthenticationService,
  GetReplicaRequestSchema,
  type GetReplicaResponse,
  GetReplicaResponseSchema,
  type WatchChangesRequest,
  type WatchChangesResponse,
} from '@latchkey/protocol/v1';
import { bidiStream, serverStream, type UnaryMethod, unaryMethod } from '@latchkey/rpc';
import { Backoff } from './backoff.ts';
import { type Ask, QuestionStream } from './question-stream.ts';
import { statusOf } from './status.ts';

/** Reconnects begin fast, for a restarted service, and never wait longer than a device does. grpc-js spreads them. */
const RECONNECT_INITIAL_MS = 200;
const RECONNECT_MAX_MS = 2_000;

/** A connection whose other end is gone without a word is found out within 7 s. */
const KEEPALIVE_INTERVAL_MS = 5_000;
const KEEPALIVE_TIMEOUT_MS = 2_000;

/** How often a replica that serves is asked whether it does: one call a second costs it nothing that is seen. */
const CHECK_INTERVAL_MS = 1_000;

/** As long as a decision may take: a replica that needs longer to say that it serves is of no use. */
const CHECK_DEADLINE_MS = 2_000;

const METHODS = AuthenticationService.method;
type Unary<M extends 'mintToken' | 'checkSessions' | 'derivePskSecret'> = UnaryMethod<
  (typeof METHODS)[M]['input'],
  (typeof METHODS)[M]['output']
>;

/** What a replica is made of. */
export type ReplicaOptions = {
  /** `host:port`. */
  readonly target: string;
  /** What the log calls it. */
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Hears each time that it becomes usable or ceases to be. */
  readonly changed: (replica: Replica) => void;
  /** Hears after each check that was answered which process was reached, whether it can decide or not. */
  readonly reached: (replica: Replica) => void;
};

/**
 * One auth replica, as a gateway sees it: one connection, and who is at its other end. It counts as usable until a call or a check of its health (grpc.health.v1) says
 * otherwise, and again once a later check passes: the devices' questions are not what finds out.
 */
export class Replica {
  readonly name: string;
  /** Asks with others in one message; call by call where the service knows no stream. */
  readonly authenticate: Ask;
  readonly mintToken: Unary<'mintToken'>;
  readonly checkSessions: Unary<'checkSessions'>;
  readonly derivePskSecret: Unary<'derivePskSecret'>;
  /** Questions that it is asked at this moment. */
  inFlight = 0;
  /** The process that the connection reached at the last check; empty: it does not say. */
  processId = '';
  /** How many processes share the address. */
  sharing = 1;
  readonly #client: Client;
  readonly #questions: QuestionStream;
  readonly #changed: (replica: Replica) => void;
  readonly #reached: (replica: Replica) => void;
  readonly #identify: () => Promise<GetReplicaResponse | undefined>;
  readonly #check: () => Promise<CheckResult>;
  readonly #backoff: Backoff;
  readonly #stop = new AbortController();
  #usable = true;
  #passedOver = 0;

  constructor({ target, name, clock, random, changed, reached }: ReplicaOptions) {
    this.name = name;
    this.#client = new Client(target, credentials.createInsecure(), {
      'grpc.initial_reconnect_backoff_ms': RECONNECT_INITIAL_MS,
      'grpc.max_reconnect_backoff_ms': RECONNECT_MAX_MS,
      'grpc.keepalive_time_ms': KEEPALIVE_INTERVAL_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
      'grpc.enable_retries': 0,
      'grpc.service_config_disable_resolution': 1,
      'grpc.use_local_subchannel_pool': 1,
    });
    this.#changed = changed;
    this.#reached = reached;
    this.#backoff = new Backoff(random);
    this.#questions = new QuestionStream({
      open: () => bidiStream(this.#client, METHODS.authenticateStream),
      unary: unaryMethod(this.#client, METHODS.authenticate, clock.now),
      monotonic: clock.monotonic,
    });
    this.authenticate = this.#questions.ask;
    this.mintToken = unaryMethod(this.#client, METHODS.mintToken, clock.now);
    this.checkSessions = unaryMethod(this.#client, METHODS.checkSessions, clock.now);
    this.derivePskSecret = unaryMethod(this.#client, METHODS.derivePskSecret, clock.now);
    this.#check = healthCheck(this.#client, clock);
    this.#identify = identification(this.#client, clock);
  }

  /** Whether questions are best asked here. */
  get usable(): boolean {
    return this.#usable;
  }

  /** Opens its stream of changes. */
  watchChanges(request: WatchChangesRequest): ClientReadableStream<WatchChangesResponse> {
    return serverStream(this.#client, METHODS.watchChanges, request);
  }

  /** Looks after its health until `close`. Returns at once. */
  start(): void {
    this.#run().catch((error: unknown) => {
      if (!this.#stop.signal.aborted) throw error;
    });
  }

  /** It did not answer, or could not: others are asked until a check that begins from now on passes. */
  passOver(): void {
    this.#passedOver++;
    this.#set(false);
  }

  /** Ends every call that is open. */
  close(): void {
    this.#stop.abort();
    this.#questions.close();
    this.#client.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const before = this.#passedOver;
      const health = await this.#check();
      const serves = health === 'SERVES';
      if (signal.aborted) return;
      if (!serves || before === this.#passedOver) this.#set(serves);
      if (serves) this.#backoff.reset();
      if (health !== 'SILENT') await this.#learn();
      await wait(serves ? CHECK_INTERVAL_MS : this.#backoff.nextMs(), undefined, { signal });
    }
  }

  /** At each check: grpc-js connects anew by itself, perhaps to another process. */
  async #learn(): Promise<void> {
    const said = await this.#identify();
    if (this.#stop.signal.aborted || said === undefined) return;
    this.processId = said.replicaId;
    this.sharing = said.sharing;
    this.#reached(this);
  }

  #set(usable: boolean): void {
    if (this.#usable === usable) return;
    this.#usable = usable;
    this.#changed(this);
  }
}

/** Whether a replica says that it serves, says that it does not, or says nothing. */
type CheckResult = 'SERVES' | 'SERVES_NOT' | 'SILENT';

/** Asks whether the replica serves. One that has no health service is taken at its word: it answered. */
function healthCheck(client: Client, clock: Clock): () => Promise<CheckResult> {
  const ask = unaryMethod(client, Health.method.check, clock.now);
  const request = create(HealthCheckRequestSchema, { service: AuthenticationService.typeName });
  return async () => {
    try {
      const { status: said } = await ask(request, CHECK_DEADLINE_MS);
      return said === HealthCheckResponse_ServingStatus.SERVING ? 'SERVES' : 'SERVES_NOT';
    } catch (error) {
      return statusOf(error) === status.UNIMPLEMENTED ? 'SERVES' : 'SILENT';
    }
  };
}

/** Asks which process answers; undefined: it was not told. */
function identification(client: Client, clock: Clock): () => Promise<GetReplicaResponse | undefined> {
  const ask = unaryMethod(client, METHODS.getReplica, clock.now);
  const request = create(GetReplicaRequestSchema);
  return async () => {
    try {
      return await ask(request, CHECK_DEADLINE_MS);
    } catch (error) {
      // A service of an older version stands alone at its address.
      return statusOf(error) === status.UNIMPLEMENTED ? create(GetReplicaResponseSchema, { sharing: 1 }) : undefined;
    }
  };
}
