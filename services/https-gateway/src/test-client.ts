import { type IncomingMessage, request as requestHttp } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { request as requestHttps } from 'node:https';
import type { TlsIdentity } from '@latchkey/gateway-kit';
import type { Bench } from './test-bench.ts';

/** The ways in. */
export const WAYS = ['HTTP/1.1 over TLS', 'HTTP/2', 'plain HTTP/1.1'] as const;
/** A way in. */
export type Way = (typeof WAYS)[number];

/** What a device sends. */
export type Sent = {
  readonly path: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** An object goes out as JSON. */
  readonly body?: object | Buffer | string;
  readonly certificate?: TlsIdentity;
};

/** What it is answered. */
export type Got = {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
  readonly json: unknown;
};

/** Sends a request over a connection of its own. */
export function send(bench: Pick<Bench, 'https' | 'http'>, way: Way, sent: Sent): Promise<Got> {
  return way === 'HTTP/2' ? overHttp2(bench.https, sent) : overHttp1(bench, way, sent);
}

/** POST with a token. */
export function report(deviceId: string, kind: string, body: Sent['body'], token = 'any-token'): Sent {
  return { path: `/v5/devices/${deviceId}/sys/${kind}`, body: body ?? '', headers: { access_token: token } };
}

function bytesOf(body: Sent['body']): Buffer {
  if (Buffer.isBuffer(body)) return body;
  return Buffer.from(typeof body === 'object' ? JSON.stringify(body) : (body ?? ''));
}

function overHttp1(bench: Pick<Bench, 'https' | 'http'>, way: Way, sent: Sent): Promise<Got> {
  const { path, method = 'POST', headers, certificate } = sent;
  const plain = way === 'plain HTTP/1.1';
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: plain ? bench.http : bench.https, path, method, agent: false };
    const taken = (response: IncomingMessage) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve(gotOf(response.statusCode ?? 0, response.headers, chunks)));
    };
    const request = plain
      ? requestHttp({ ...options, headers }, taken)
      : requestHttps({ ...options, headers, rejectUnauthorized: false, ...certificate }, taken);
    request.on('error', reject);
    request.end(bytesOf(sent.body));
  });
}

function overHttp2(port: number, { path, method = 'POST', headers, certificate, body }: Sent): Promise<Got> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false, ...certificate });
    session.on('error', reject);
    const stream = session.request({ ':path': path, ':method': method, ...headers });
    let status = 0;
    let got: Readonly<Record<string, unknown>> = {};
    const chunks: Buffer[] = [];
    stream.on('response', (answered) => {
      status = answered[':status'] ?? 0;
      got = answered;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      session.close();
      resolve(gotOf(status, got, chunks));
    });
    stream.on('error', reject);
    if (!stream.writableEnded) stream.end(bytesOf(body)); // that of a HEAD has ended
  });
}

function gotOf(status: number, headers: Readonly<Record<string, unknown>>, chunks: readonly Buffer[]): Got {
  const text = Buffer.concat(chunks).toString('utf8');
  return { status, headers, text, json: text === '' ? undefined : JSON.parse(text) };
}
