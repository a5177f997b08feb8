import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { create, type DescMessage, type DescMethodUnary, type MessageInitShape, toJson } from '@bufbuild/protobuf';
import { CredentialService, DeviceService, Slot } from '@latchkey/protocol/v1';
import { deviceIdOf, secretOf } from './devices.ts';
import type { Server } from './processes.ts';

/** Longer than a write waits for a replica that is gone. */
const DEADLINE_MS = 10_000;

const OK = 200;

/** HTTP status of `unavailable`, and how often a call is sent until it is another one. */
const UNAVAILABLE = 503;
const MAX_TRIES = 5;

/** Registrations under way: the embedded store writes them as a group. */
const IN_FLIGHT = 64;

/** Connections stay open between requests, as an operator's client keeps them. */
const agent = new Agent({ keepAlive: true });

/** What an operator does to the devices of a run, by one auth service. */
export type Operator = {
  /** Registers a device with its secret. */
  readonly register: (index: number) => Promise<void>;
  /** Gives a device a new primary secret, drawn by the service; `forced` closes its sessions. */
  readonly reset: (index: number, forced: boolean) => Promise<void>;
};

/** The operator of a service whose ready line names its admin listener; `tokenFile` is where its operators' token lies. */
export function operatorOf(server: Server, tokenFile = server.field('token')): Operator {
  const admin = server.field('admin');
  const token = readFileSync(tokenFile, 'utf8').trim();
  // With a request id, a call that is sent again does nothing twice.
  const call = <I extends DescMessage>(method: DescMethodUnary<I>, message: MessageInitShape<I>) =>
    post(
      `${admin}/${method.parent.typeName}/${method.name}`,
      token,
      toJson(method.input, create(method.input, message)),
    );
  return {
    register: (index) => {
      const primary = { case: 'secret', value: { value: secretOf(index) } } as const;
      return call(DeviceService.method.createDevice, { deviceId: deviceIdOf(index), requestId: randomUUID(), primary });
    },
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

/** A store that did not reply in time is asked again, as the answer says to; the time counts. */
async function post(url: string, token: string, message: unknown): Promise<void> {
  for (let tries = 1; ; tries++) {
    const { status, text } = await postOnce(url, token, message);
    if (status === OK) return;
    if (status !== UNAVAILABLE || tries === MAX_TRIES) throw new Error(`${url}: ${status} ${text}`);
  }
}

/** One request; `fetch` would cost the caller more time than the service takes for its answer. */
function postOnce(url: string, token: string, message: unknown) {
  const body = JSON.stringify(message);
  const length = Buffer.byteLength(body);
  const headers = { 'content-type': 'application/json', 'content-length': length, authorization: `Bearer ${token}` };
  return new Promise<{ readonly status: number; readonly text: string }>((resolve, reject) => {
    const sent = request(url, { method: 'POST', headers, agent, timeout: DEADLINE_MS }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
      response.on('error', reject);
    });
    sent.on('timeout', () => sent.destroy(new Error(`${url}: no answer within ${DEADLINE_MS} ms`)));
    sent.on('error', reject);
    sent.end(body);
  });
}
