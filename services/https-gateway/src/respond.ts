import type { ServerHttp2Stream } from 'node:http2';
import type { Random } from '@latchkey/kernel';
import type { Failure, Success } from './admit.ts';
import { answerTo } from './answer.ts';
import type { HttpRequest, HttpResponse } from './listener.ts';

/** Retry-After lies between these: long enough for a restart, and spread so that a fleet does not come back as one. */
const MIN_RETRY_S = 1;
const MAX_RETRY_S = 10;

type Headers = Record<string, string | number>;

/** What an answer depends on besides its outcome. */
export type RespondOptions = {
  readonly random: Random;
  /** Whether the gateway stops: then no connection is kept. */
  readonly stopping: () => boolean;
};

/** Answers a request and gives the status. What the device still sends of it is thrown away. */
export function respond(
  request: HttpRequest,
  response: HttpResponse,
  outcome: Success | Failure,
  { random, stopping }: RespondOptions,
): number {
  if (stopping() && request.httpVersionMajor === 1) response.setHeader('connection', 'close');
  const status = answer(request, response, outcome, random);
  request.resume();
  return status;
}

function answer(request: HttpRequest, response: HttpResponse, outcome: Success | Failure, random: Random): number {
  switch (outcome.outcome) {
    case 'TOKEN': {
      const body = { access_token: outcome.token, expires_in: outcome.expiresInS };
      send(response, 200, { 'cache-control': 'no-store' }, body);
      return 200;
    }
    case 'REPORTED':
      send(response, 200, {});
      return 200;
    case 'REFUSED': {
      const { status, code, message } = answerTo(outcome.refusal, outcome.shown);
      send(response, status, headersOf(status, request, random), { error_code: code, error_msg: message });
      return status;
    }
  }
}

function headersOf(status: number, request: HttpRequest, random: Random): Headers {
  switch (status) {
    case 405:
      return { allow: 'POST' };
    case 408:
      // The rest of it may never come. HTTP/2 has no such header: there only the stream ends.
      return request.httpVersionMajor === 1 ? { connection: 'close' } : {};
    case 503:
      return { 'retry-after': MIN_RETRY_S + ((random(1)[0] ?? 0) % (MAX_RETRY_S - MIN_RETRY_S + 1)) };
    default:
      return {};
  }
}

function send(response: HttpResponse, status: number, more: Headers, body?: object): void {
  const text = body === undefined ? '' : JSON.stringify(body);
  const type: Headers = body === undefined ? {} : { 'content-type': 'application/json' };
  const headers = { ...type, ...more, 'content-length': Buffer.byteLength(text) };
  if ('stream' in response) {
    sendOn(response.stream, { ':status': status, ...headers }, text);
  } else {
    response.writeHead(status, headers);
    response.end(text);
  }
}

/**
 * Not through the response that looks like one of HTTP/1: it has every stream wait for trailers, and Node ends the
 * process with a failed assertion (Http2Stream::OnTrailers) when such a stream is gone before its last frame is written.
 */
function sendOn(stream: ServerHttp2Stream, headers: Headers, text: string): void {
  if (stream.destroyed || stream.closed) return;
  // A stream whose request is not read to its end would stay open until its device is done.
  stream.once('finish', () => stream.close());
  stream.respond(headers); // which ends that of a HEAD
  if (!stream.writableEnded) stream.end(text);
}
