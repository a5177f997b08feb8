import { toBinary } from '@bufbuild/protobuf';
import {
  type AuthenticateStreamResponse_Answer as Answer,
  type AuthenticateResponse,
  AuthenticateResponseSchema,
  type AuthenticateStreamResponse,
  AuthenticateStreamResponseSchema,
  type Granted,
} from '@latchkey/protocol/v1';

// The messages that devices are waiting for, written by hand, byte for byte as the generated code writes them: that one
// makes a writer, and garbage, for each message inside a message. A grant by certificate or with an end is left to it.

/** A field's number and wire type, as one byte (https://protobuf.dev/programming-guides/encoding/#structure). */
const TAG = {
  answer: 0x0a,
  number: 0x08,
  decision: 0x12,
  noDecision: 0x18,
  granted: 0x0a,
  denied: 0x12,
  cacheAge: 0x18,
  slot: 0x08,
  credentialId: 0x12,
  revision: 0x18,
  activatedNow: 0x20,
  reason: 0x08,
} as const;

/** Answers a message, as authentication.proto has it, and what one takes at most: 70 bytes with all of its fields. */
const MAX_ANSWERS = 256;
const ANSWER_BYTES = 96;
const CREDENTIAL_ID_LENGTH = 16;
// One for all: nothing awaits between the first byte and the copy.
const room = Buffer.alloc(MAX_ANSWERS * ANSWER_BYTES);

/** One decision. */
export function writeDecision(response: AuthenticateResponse): Buffer {
  return knownDecision(response) ?? asBuffer(toBinary(AuthenticateResponseSchema, response));
}

/** A batch of answers. */
export function writeAnswers(response: AuthenticateStreamResponse): Buffer {
  return knownAnswers(response) ?? asBuffer(toBinary(AuthenticateStreamResponseSchema, response));
}

/** What is written by hand of one decision; undefined: it is left to the generated code. */
export function knownDecision(response: AuthenticateResponse): Buffer | undefined {
  return isKnown(response) ? copied(putDecision(0, response)) : undefined;
}

/** What is written by hand of a batch; undefined: it is left to the generated code. */
export function knownAnswers({ answers }: AuthenticateStreamResponse): Buffer | undefined {
  if (answers.length > MAX_ANSWERS || !answers.every(isKnownAnswer)) return undefined;
  let at = 0;
  for (const answer of answers) at = putAnswer(at, answer);
  return copied(at);
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

function copied(end: number): Buffer {
  const bytes = Buffer.allocUnsafe(end);
  room.copy(bytes, 0, 0, end);
  return bytes;
}

function isKnownAnswer({ result }: Answer): boolean {
  return result.case === 'noDecision' || (result.case === 'decision' && isKnown(result.value));
}

function isKnown({ decision }: AuthenticateResponse): boolean {
  if (decision.case !== 'granted') return decision.case === 'denied';
  const { basis, credentialId, expiresAt } = decision.value;
  return basis.length === 0 && expiresAt === undefined && credentialId.length === CREDENTIAL_ID_LENGTH;
}

function putAnswer(at: number, { number, result }: Answer): number {
  const begin = at + 2;
  let end = putNumber(begin, TAG.number, number);
  if (result.case === 'noDecision') end = putVarint(putByte(end, TAG.noDecision), result.value);
  if (result.case === 'decision') end = putMessage(end, TAG.decision, putDecision(end + 2, result.value));
  return putMessage(at, TAG.answer, end);
}

function putDecision(at: number, { decision, cacheAgeMs }: AuthenticateResponse): number {
  let end = at;
  if (decision.case === 'granted') end = putMessage(at, TAG.granted, putGranted(at + 2, decision.value));
  if (decision.case === 'denied') {
    end = putMessage(at, TAG.denied, putNumber(at + 2, TAG.reason, decision.value.reason));
  }
  return putNumber(end, TAG.cacheAge, cacheAgeMs);
}

function putGranted(at: number, { slot, credentialId, revision, activatedNow }: Granted): number {
  const id = putByte(putByte(putNumber(at, TAG.slot, slot), TAG.credentialId), CREDENTIAL_ID_LENGTH);
  const end = putNumber(id + room.write(credentialId, id, 'latin1'), TAG.revision, Number(revision));
  return activatedNow ? putNumber(end, TAG.activatedNow, 1) : end;
}

/** The tag and length of the message that ends at `end` and begins behind them; all are shorter than 128 bytes. */
function putMessage(at: number, tag: number, end: number): number {
  putByte(putByte(at, tag), end - at - 2);
  return end;
}

/** A field with a number; none for 0, as proto3 has it. */
function putNumber(at: number, tag: number, value: number): number {
  return value === 0 ? at : putVarint(putByte(at, tag), value);
}

function putVarint(at: number, value: number): number {
  let [end, rest] = [at, value];
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) end = putByte(end, (rest % 0x80) | 0x80);
  return putByte(end, rest);
}

function putByte(at: number, byte: number): number {
  room[at] = byte;
  return at + 1;
}
