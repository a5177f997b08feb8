import { create } from '@bufbuild/protobuf';
import type { Client, status } from '@grpc/grpc-js';
import { AuthenticationService, WatchChangesRequestSchema, type WatchChangesResponse } from '@latchkey/protocol/v1';
import { serverStream } from '@latchkey/rpc';

type Event = WatchChangesResponse['event'];
type Case = NonNullable<Event['case']>;

/** A stream of changes that was opened, and what came on it. */
export class TestWatcher {
  readonly heard: WatchChangesResponse[] = [];
  /** Settled when the stream fails. */
  readonly failed: Promise<{ readonly code: status; readonly details: string }>;
  readonly #stop: () => void;
  #wake: () => void = () => undefined;

  constructor(channel: Client, { cursor = '', takesPartialBeats = false } = {}) {
    const request = create(WatchChangesRequestSchema, { cursor, takesPartialBeats });
    const stream = serverStream(channel, AuthenticationService.method.watchChanges, request);
    this.#stop = () => stream.cancel();
    this.failed = new Promise((resolve) =>
      stream.on('error', (error) => resolve(error as unknown as { code: status; details: string })),
    );
    stream.on('data', (message: WatchChangesResponse) => {
      this.heard.push(message);
      this.#wake();
    });
  }

  /** The events of one kind, in their order. */
  events<C extends Case>(kind: C): readonly Extract<Event, { case: C }>['value'][] {
    return this.heard.flatMap(({ event }) => (event.case === kind ? [event.value] : [])) as never;
  }

  /** Waits until something is so. */
  async until(wanted: () => boolean): Promise<void> {
    while (!wanted()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Ends the stream. */
  stop(): void {
    this.#stop();
  }
}
