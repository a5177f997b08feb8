import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import {
  AuthenticationService,
  WatchChangesRequestSchema,
  type WatchChangesResponse,
  WatchChangesResponseSchema,
} from '@latchkey/protocol/v1';
import type { Server } from './processes.ts';

const { watchChanges } = AuthenticationService.method;
const PATH = `/${watchChanges.parent.typeName}/${watchChanges.name}`;

/** Follows the changes of several replicas, as gateways do. */
export type Followers = {
  /** When the last of the replicas told of the device's newest change, by `performance.now`. Throws when one has not. */
  readonly lastHeardMs: (deviceId: string) => number;
  /** Whether all of the replicas have told of the device. */
  readonly haveHeard: (deviceId: string) => boolean;
  /** Forgets all that was heard. */
  readonly clear: () => void;
  readonly close: () => void;
};

/** Follows these; resolves once each has a place in the log. */
export async function follow(replicas: readonly Server[]): Promise<Followers> {
  const heard = replicas.map(() => new Map<string, number>());
  const closers: (() => void)[] = [];
  const placed = replicas.map(async (replica, index) => {
    const client = new Client(replica.field('grpc'), credentials.createInsecure());
    const stream = client.makeServerStreamRequest(
      PATH,
      (request: Buffer) => request,
      (bytes: Buffer) => fromBinary(WatchChangesResponseSchema, bytes),
      Buffer.from(toBinary(WatchChangesRequestSchema, create(WatchChangesRequestSchema))),
      new Metadata(),
    );
    stream.on('error', () => undefined); // what is missing then is noticed by who asks for it
    closers.push(() => {
      stream.cancel();
      client.close();
    });
    await new Promise<void>((resolve) => {
      stream.on('data', ({ event }: WatchChangesResponse) => {
        if (event.case === 'change') heard[index]?.set(event.value.deviceId, performance.now());
        resolve(); // the first message is a beat
      });
    });
  });
  await Promise.all(placed);
  return {
    lastHeardMs: (deviceId) => {
      const times = heard.map((own) => own.get(deviceId)).filter((time) => time !== undefined);
      if (times.length < replicas.length) throw new Error(`a replica has told nothing of ${deviceId}`);
      return Math.max(...times);
    },
    haveHeard: (deviceId) => heard.every((own) => own.has(deviceId)),
    clear: () => {
      for (const own of heard) own.clear();
    },
    close: () => {
      for (const close of closers) close();
    },
  };
}
