import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Metadata } from '@grpc/grpc-js';
import {
  WatchChangesRequestSchema,
  type WatchChangesResponse,
  WatchChangesResponseSchema,
} from '@latchkey/protocol/v1';
import { nowUs } from './history.ts';
import type { Replica } from './replica.ts';

const PATH = '/latchkey.v1.AuthenticationService/WatchChanges';

/** Pause before a watcher whose stream has ended opens another. */
const AGAIN_MS = 100;

/** When a replica told its watchers of a change. */
export type Heard = {
  readonly deviceId: string;
  readonly revision: number;
  readonly replica: number;
  readonly atUs: number;
};

/** Follows the changes that each replica tells of, as a gateway does: how fast they spread. */
export class Watchers {
  readonly heard: Heard[] = [];
  readonly #replicas: readonly Replica[];
  readonly #ends = new Set<() => void>();
  #isOn = true;

  constructor(replicas: readonly Replica[]) {
    this.#replicas = replicas;
  }

  /** Begins at every replica. */
  start(): void {
    for (const index of this.#replicas.keys()) this.#watch(index);
  }

  /** Ends. */
  stop(): void {
    this.#isOn = false;
    for (const end of this.#ends) end();
  }

  #watch(replica: number): void {
    if (!this.#isOn) return;
    const client = this.#replicas[replica]?.gateway;
    if (client === undefined) {
      setTimeout(() => this.#watch(replica), AGAIN_MS);
      return;
    }
    const stream = client.makeServerStreamRequest(
      PATH,
      (request: Buffer) => request,
      (bytes: Buffer) => fromBinary(WatchChangesResponseSchema, bytes),
      Buffer.from(toBinary(WatchChangesRequestSchema, create(WatchChangesRequestSchema))),
      new Metadata(),
    );
    const end = () => stream.cancel();
    this.#ends.add(end);
    stream.on('data', ({ event }: WatchChangesResponse) => {
      if (event.case !== 'change') return;
      const { deviceId, revision } = event.value;
      this.heard.push({ deviceId, revision: Number(revision), replica, atUs: nowUs() });
    });
    stream.on('error', () => {
      this.#ends.delete(end);
      setTimeout(() => this.#watch(replica), AGAIN_MS);
    });
    stream.on('end', end);
  }
}
