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
  switch (outcome.outcome) {
    case 'TOKEN':
      send(
        response,
        200,
        { 'cache-control': 'no-store' },
        { access_token: outcome.token, expires_in: outcome.expiresInS },
      );
      break;
    case 'REPORTED':
      send(response, 200, {});
      break;
    case 'REFUSED': {
      const { status, code, message } = answerTo(outcome.refusal, outcome.shown);
      send(response, status, headersOf(status, request, random), { error_code: code, error_msg: message });
    }
  }
  request.resume();
  return response.statusCode;
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

function send(response: HttpResponse, status: number, headers: Headers, body?: object): void {
  const text = body === undefined ? '' : JSON.stringify(body);
  const type: Headers = body === undefined ? {} : { 'content-type': 'application/json' };
  response.writeHead(status, { ...type, ...headers, 'content-length': Buffer.byteLength(text) });
  if ('stream' in response) endStream(response.stream);
  response.end(text);
}

/** A stream whose request is not read to its end would stay open until its device is done. */
function endStream(stream: {
  readonly once: (event: 'finish', listener: () => void) => unknown;
  readonly close: () => void;
}) {
  stream.once('finish', () => stream.close());
}
