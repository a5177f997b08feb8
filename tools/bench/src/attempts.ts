import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type AuthenticateRequest,
  AuthenticateRequestSchema,
  AuthenticateResponseSchema,
  Protocol,
} from '@latchkey/protocol/v1';
import { deviceIdOf, proofOf } from './devices.ts';
import { Caller } from './load.ts';
import type { Server } from './processes.ts';
import { seededUniform, zipfIndexes } from './zipf.ts';

/** Attempts prepared for each device: enough that Zipf's tail comes up. */
const ATTEMPTS_PER_DEVICE = 4;
const SEED = 2;

/** A device's proof, as a gateway asks about it: its own, or that of another device. */
export function attemptOf(index: number, timestamp: string, prover = index): AuthenticateRequest {
  return create(AuthenticateRequestSchema, {
    deviceId: deviceIdOf(index),
    protocol: Protocol.MQTT,
    proof: { kind: { case: 'digest', value: proofOf(prover, timestamp) } },
    source: '192.0.2.1',
  });
}

/** Right proofs of devices drawn by Zipf's law, always the same. */
export function drawAttempts(devices: number, timestamp: string): readonly AuthenticateRequest[] {
  const drawn = zipfIndexes(devices * ATTEMPTS_PER_DEVICE, devices, seededUniform(SEED));
  return Array.from(drawn, (index) => attemptOf(index, timestamp));
}

/** An attempt as it goes over the wire. */
export function encoded(attempt: AuthenticateRequest): Buffer {
  return Buffer.from(toBinary(AuthenticateRequestSchema, attempt));
}

/** Whether an encoded response grants. */
export function isGrant(response: Buffer): boolean {
  return fromBinary(AuthenticateResponseSchema, response).decision.case === 'granted';
}

/** The first success of each device writes; it also brings the record into the cache. */
export async function activate(auth: Pick<Server, 'field'>, devices: number, timestamp: string): Promise<void> {
  const requests = Array.from({ length: devices }, (_, index) => encoded(attemptOf(index, timestamp)));
  const caller = new Caller({ address: auth.field('grpc'), requests, isRight: isGrant });
  await caller.callTimes(devices);
  caller.close();
}
