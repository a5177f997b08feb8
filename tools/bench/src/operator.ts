import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import { request as requestTls, Agent as TlsAgent } from 'node:https';
import { create, type DescMessage, type DescMethodUnary, type MessageInitShape, toJson } from '@bufbuild/protobuf';
import { CredentialService, DeviceService, Slot } from '@latchkey/protocol/v1';
import { deviceIdOf, secretOf } from './devices.ts';
import type { Server } from './processes.ts';

/** Longer than a write waits for a replica that is gone. */
const DEADLINE_MS = 10_000;

const OK = 200;
const NOT_FOUND = 404;

/** HTTP status of `already_exists`. */
const ALREADY_EXISTS = 409;

/** HTTP status of `unavailable`, and how often a call is sent until it is another one. */
const UNAVAILABLE = 503;
const MAX_TRIES = 5;

/** Registrations under way: the embedded store writes them as a group. */
const IN_FLIGHT = 64;

/** Connections stay open between requests, as an operator's client keeps them. */
const agent = new Agent({ keepAlive: true });
const tlsAgent = new TlsAgent({ keepAlive: true });

/** What an operator does to the devices of a run, by one auth service. */
export type Operator = {
  /** Registers a device with its secret. */
  readonly register: (index: number) => Promise<void>;
  /** The same, unless it is there already. */
  readonly ensure: (index: number) => Promise<void>;
  /** Deletes a device, if it is there. */
  readonly remove: (index: number) => Promise<void>;
  /** Gives a device a new primary secret, drawn by the service; `forced` closes its sessions. */
  readonly reset: (index: number, forced: boolean) => Promise<void>;
};

/** The operator of a service whose ready line names its admin listener; `tokenFile` is where its operators' token lies. */
export function operatorOf(server: Server, tokenFile = server.field('token')): Operator {
  return operatorAt(server.field('admin'), readFileSync(tokenFile, 'utf8').trim());
}

/** The operator of a service by the URL of its admin listener. */
export function operatorAt(admin: string, token: string): Operator {
  // With a request id, a call that is sent again does nothing twice.
  const call = <I extends DescMessage>(
    method: DescMethodUnary<I>,
    message: MessageInitShape<I>,
    accepted: readonly number[] = [OK],
  ) => {
    const url = `${admin}/${method.parent.typeName}/${method.name}`;
    return post({ url, token, message: toJson(method.input, create(method.input, message)), accepted });
  };
  const creation = (index: number) => {
    const primary = { case: 'secret', value: { value: secretOf(index) } } as const;
    return { deviceId: deviceIdOf(index), requestId: randomUUID(), primary };
  };
  const { createDevice, deleteDevice } = DeviceService.method;
  return {
    register: (index) => call(createDevice, creation(index)),
    ensure: (index) => call(createDevice, creation(index), [OK, ALREADY_EXISTS]),
    remove: (index) => call(deleteDevice, { deviceId: deviceIdOf(index), requestId: randomUUID() }, [OK, NOT_FOUND]),
    reset: (index, forced) => {
      const credential = { case: 'secret', value: {} } as const;
      const head = { deviceId: deviceIdOf(index), requestId: randomUUID(), slot: Slot.PRIMARY };
      return call(CredentialService.method.resetCredential, { ...head, forceDisconnect: forced, credential });
    },
  };
}

/** Does something for each index from 0 to `count` - 1, so many at a time. */
export async function forEach(
  count: number,
  act: (index: number) => Promise<void>,
  inFlight = IN_FLIGHT,
): Promise<void> {
  let next = 0;
  const lane = async () => {
    while (next < count) await act(next++);
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}

type Post = {
  readonly url: string;
  readonly token: string;
  readonly message: unknown;
  /** HTTP statuses that are as good as each other. */
  readonly accepted: readonly number[];
};

/** A store that did not reply in time is asked again, as the answer says to; the time counts. */
async function post({ url, token, message, accepted }: Post): Promise<void> {
  for (let tries = 1; ; tries++) {
    const { status, text } = await postOnce(url, token, message);
    if (accepted.includes(status)) return;
    if (status !== UNAVAILABLE || tries === MAX_TRIES) throw new Error(`${url}: ${status} ${text}`);
  }
}

/** One request; `fetch` would cost the caller more time than the service takes for its answer. */
function postOnce(url: string, token: string, message: unknown) {
  const body = JSON.stringify(message);
  const length = Buffer.byteLength(body);
  const headers = { 'content-type': 'application/json', 'content-length': length, authorization: `Bearer ${token}` };
  const options = { method: 'POST', headers, timeout: DEADLINE_MS };
  return new Promise<{ readonly status: number; readonly text: string }>((resolve, reject) => {
    const onResponse = (response: IncomingMessage) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
      response.on('error', reject);
    };
    const sent = url.startsWith('https:')
      ? requestTls(url, { ...options, agent: tlsAgent }, onResponse)
      : request(url, { ...options, agent }, onResponse);
    sent.on('timeout', () => sent.destroy(new Error(`${url}: no answer within ${DEADLINE_MS} ms`)));
    // An open connection may be closed by the other side as it is taken for this: the call is sent again.
    sent.on('error', (error: NodeJS.ErrnoException) => {
      if (sent.reusedSocket && error.code === 'ECONNRESET') resolve({ status: UNAVAILABLE, text: error.message });
      else reject(error);
    });
    sent.end(body);
  });
}
